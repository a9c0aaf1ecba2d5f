"""What is the same for every leaf of a zygote."""

from __future__ import annotations

import dataclasses
import json

import ol_kernel as kernel

from ol_guest import preload


@dataclasses.dataclass(frozen=True)
class Settings:
    # Whether leaves get a network namespace of their own.
    own_network: bool
    # An ordinary user's tree has one id only: each leaf then takes a user namespace of its own.
    rootless: bool
    # Defences left out, by name. Only tests name any: they show that each probe succeeds without its defence.
    weaken: "frozenset[str]"
    # Modules that the root zygote imports in advance.
    preload: "tuple[str, ...]"
    # How many zygotes lie between this one and the root; the root's is 0.
    depth: int = 0

    @staticmethod
    def parse(text: str) -> "Settings":
        fields = json.loads(text)
        return Settings(
            fields["ownNetwork"], fields["rootless"], frozenset(fields["weaken"]), preload.named(fields["preload"])
        )

    def of_child(self) -> "Settings":
        return dataclasses.replace(self, depth=self.depth + 1)

    def keep_only_what_forking_needs(self) -> None:
        """Namespaces and mounts (SYS_ADMIN), a leaf's ids, its loopback interface; nothing else, nothing by exec."""
        if "capabilities" in self.weaken:
            return
        kernel.drop_bounding_set()
        needed = [kernel.CAP_SYS_ADMIN, kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_NET_ADMIN]
        # An ordinary user's one id is 0 here, and mapping a 0 into a leaf's namespace takes this one.
        if self.rootless:
            needed.append(kernel.CAP_SETFCAP)
        kernel.set_capabilities(tuple(needed))
