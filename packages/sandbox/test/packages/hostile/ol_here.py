"""Says again who it is, and means the broker."""

from ol_channel import pidfd_of_broker, say

say({"op": "here"}, [pidfd_of_broker(), pidfd_of_broker()])
