"""How many leaves should wait, forked, for the next requests."""

import typing

# Requests that come within this time of each other meet each other: none of their leaves is replaced sooner, since
# forking one takes some milliseconds and the CPU is theirs first.
BURST_SEC = 0.1
# A burst is expected to come back for this long.
MEMORY_SEC = 5.0


def wanted(takes: "typing.Sequence[float]", now: float, at_rest: int, most: int) -> int:
    """As many as the largest burst of late took at once, at least `at_rest` and at most `most`.

    `takes` are the moments when one was taken, in order.
    """
    recent = [moment for moment in takes if now - MEMORY_SEC < moment <= now]
    largest = 0
    first = 0
    for last, moment in enumerate(recent):
        while moment - recent[first] > BURST_SEC:
            first += 1
        largest = max(largest, last - first + 1)
    return max(at_rest, min(most, largest))
