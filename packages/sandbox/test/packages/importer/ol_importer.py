"""Is in order itself, as what it imports first and last is."""

import ol_plain
import ol_thread
import ol_random
