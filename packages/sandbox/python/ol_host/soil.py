"""What zygotes and leaves are made with."""

import dataclasses

from ol_host.base import Base
from ol_host.cgroups import GroupStock
from ol_host.outbound import Outbound


@dataclasses.dataclass(frozen=True)
class Soil:
    base: Base
    groups: GroupStock
    outbound: Outbound
    rootless: bool
    first_uid: int
    weaken: "list[str]"
    # What root zygotes import in advance: ol_guest/preload.py.
    preload: "str | list[str]"
    # Whether sandboxes tell when each step of making them was over: ol_guest/marks.py.
    steps: bool
    # Leaves that wait at each zygote when nobody wants any, and at most.
    prepared: int
    most_prepared: int
    # Leaves, and zygotes, that our descriptors allow for.
    most_leaves: int
