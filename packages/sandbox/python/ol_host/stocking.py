"""Keeps leaves waiting at each zygote: has new ones forked for those that were taken, and ends what is too many."""

import time
import typing

from ol_host import demand
from ol_host.nursery import Nursery
from ol_host.soil import Soil
from ol_host.wire import Refused
from ol_host.zygotes import Stock, Zygote

# A sandbox that was just handed out starts up in about this time; the next one's fork would take a CPU from it.
_REFILL_DELAY_SEC = 0.004
# How often it is looked whether fewer leaves would do.
_SHRINK_SEC = 1.0


class Stocker:
    """`fork` asks a zygote for a leaf that is to wait; `warn` hears why none could be made."""

    def __init__(
        self,
        soil: Soil,
        nursery: Nursery,
        fork: "typing.Callable[[Zygote, str], None]",
        warn: "typing.Callable[[str], None]",
    ) -> None:
        self._soil = soil
        self._nursery = nursery
        self._fork = fork
        self._warn = warn
        self._to_refill: "set[tuple[Zygote, str]]" = set()
        self._refill_moment: "float | None" = None
        self._shrink_moment: "float | None" = None
        self._closing = False

    def moments(self) -> "list[float]":
        """When `refill` and `on_time` want to be called."""
        return [moment for moment in (self._refill_moment, self._shrink_moment) if moment is not None]

    def on_time(self, now: float) -> None:
        if self._shrink_moment is not None and self._shrink_moment <= now:
            self._shrink(now)

    def close(self) -> None:
        self._closing = True

    def want(self, zygote: Zygote, network: str) -> None:
        """Has leaves forked, in a moment, for those that were taken."""
        self._to_refill.add((zygote, network))
        if self._refill_moment is None:
            self._refill_moment = time.monotonic() + _REFILL_DELAY_SEC

    def refill(self) -> None:
        if self._refill_moment is None or time.monotonic() < self._refill_moment:
            return
        self._refill_moment = None
        wanted, self._to_refill = self._to_refill, set()
        if self._closing:
            return
        for zygote, network in wanted:
            try:
                if network == "outbound":
                    self._soil.outbound.ensure()
                self._fill(zygote, network)
            except (OSError, Refused) as error:
                # The request that needs one will meet the same error, and its caller is told.
                self._warn(f"no process could be made ready in advance: {error}")

    def _fill(self, zygote: Zygote, network: str) -> None:
        stock = zygote.stock(network)
        # One that is still importing serves who cannot wait, and nobody in advance.
        while zygote.serves and len(stock.waiting) < self._wanted(stock, time.monotonic()):
            self._fork(zygote, network)
        if len(stock.waiting) > self._soil.prepared and self._shrink_moment is None:
            self._shrink_moment = time.monotonic() + _SHRINK_SEC

    def _wanted(self, stock: Stock, now: float) -> int:
        soil = self._soil
        return 0 if soil.prepared == 0 else demand.wanted(stock.takes, now, soil.prepared, soil.most_prepared)

    def _shrink(self, now: float) -> None:
        """Ends leaves that no burst of late would have needed."""
        self._shrink_moment = None
        for stock in [stock for zygote in self._nursery for stock in zygote.stocks.values()]:
            for _ in range(len(stock.waiting) - self._wanted(stock, now)):
                stock.waiting.popleft().kill()
            if len(stock.waiting) > self._soil.prepared:
                self._shrink_moment = now + _SHRINK_SEC
