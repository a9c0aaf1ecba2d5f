"""Who gets which user id of the worker's block: the packet filter tells sandboxes apart by nothing else.

Ids count from the block's first. Zygotes and leaves of network `outbound` have ids of one range, which the rules of
outbound.py refuse this machine's own addresses; leaves of `host` have ids above it. Zygotes belong to the first range,
so what those of `outbound` import reaches no more than their leaves will. (Those of `host` have their leaves' ids too, to
fork them, and could take one.)
"""

import collections

# As many host ids as a tree maps.
UID_BLOCK = 65_536
# Ids of zygotes. 0 is the root of each tree, and its first zygote.
ZYGOTE_UIDS = range(4_096)
REFUSED_LEAF_UIDS = range(4_096, 34_816)
# Without the block's last, which on many systems means nobody.
HOST_LEAF_UIDS = range(34_816, UID_BLOCK - 1)
# What the rules name: zygotes and leaves without a way to this machine's own addresses.
REFUSED_UIDS = range(ZYGOTE_UIDS.start, REFUSED_LEAF_UIDS.stop)


def range_of(network: str) -> range:
    """Of leaves. Those of `none` meet no rules in their own network; should they ever get out of it, they do."""
    return HOST_LEAF_UIDS if network == "host" else REFUSED_LEAF_UIDS


class LeafUids:
    """Hands out leaves' ids; one that was given back is the last to be used again."""

    def __init__(self) -> None:
        self._free = {uids: collections.deque(uids) for uids in (REFUSED_LEAF_UIDS, HOST_LEAF_UIDS)}

    def take(self, network: str) -> int:
        uids = range_of(network)
        if not self._free[uids]:
            raise OSError(f"{len(uids)} sandboxes of this network class are alive, and there are no more user ids")
        return self._free[uids].popleft()

    def give_back(self, uid: int) -> None:
        next(free for uids, free in self._free.items() if uid in uids).append(uid)
