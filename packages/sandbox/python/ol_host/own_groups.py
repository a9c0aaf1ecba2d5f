"""Groups that only one zygote's leaves are put in.

A zygote whose import code is anybody's gets the open cgroup.procs files of its leaves' groups and may keep them, so
such a group must never hold a leaf of another zygote: it is used again by this one's leaves only, and removed then.
"""

from ol_host.cgroups import Group, GroupStock

_MOST_READY = 8


class OwnGroups:
    def __init__(self, stock: GroupStock) -> None:
        self._stock = stock
        self._ready: "list[Group]" = []
        self._over = False

    def take(self) -> Group:
        while self._ready:
            group = self._ready.pop()
            if group.exists():
                break
            self._stock.discard(group)
        else:
            group = self._stock.make(kill_together=True)
        group.start_use()
        return group

    def give_back(self, group: Group) -> None:
        if self._over or len(self._ready) >= _MOST_READY:
            self._stock.discard(group)
        else:
            self._ready.append(group)

    def dissolve(self) -> None:
        """The zygote is gone; what leaves of it still use goes when they do."""
        self._over = True
        while self._ready:
            self._stock.discard(self._ready.pop())
