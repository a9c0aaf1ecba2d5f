"""What a zygote writes on its standard error, read so that no flood of it costs the broker or the log anything."""

import os
import selectors
import time
import typing

_READ_BYTES = 4096
# Read in a second; whoever writes more waits for us, and not we for him.
_BYTES_PER_SEC = 256 * 1024
# Passed on to the log in a second.
_SAID_BYTES_PER_SEC = 4 * 1024


class LogTap:
    def __init__(
        self, descriptor: int, selector: selectors.BaseSelector, say: "typing.Callable[[str], None]"
    ) -> None:
        """Takes the read end of a pipe over. `say` gets what is to be logged."""
        self._descriptor = descriptor
        self._selector = selector
        self._say = say
        # The last lines: the reason, if the zygote dies.
        self.last_words = ""
        self._second = 0.0
        self._read = 0
        self._said = 0
        # When to read on, if that was enough for now.
        self.resume_moment: "float | None" = None
        os.set_blocking(descriptor, False)
        selector.register(descriptor, selectors.EVENT_READ, self.read)

    def read(self) -> None:
        self._start_second()
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._look_away()
            return
        text = data.decode(errors="replace").strip()
        self.last_words = text[-_READ_BYTES:]
        self._read += len(data)
        if self._said < _SAID_BYTES_PER_SEC and text:
            self._said += len(data)
            self._say(text if self._said < _SAID_BYTES_PER_SEC else f"{text} [and more, which is dropped]")
        if self._read > _BYTES_PER_SEC:
            self._look_away()
            self.resume_moment = self._second + 1.0

    def resume(self, now: float) -> None:
        if self.resume_moment is not None and self.resume_moment <= now:
            self.resume_moment = None
            self._selector.register(self._descriptor, selectors.EVENT_READ, self.read)

    def close(self) -> None:
        """Reads what is there already, at most a bufferful, and lets go."""
        self.read()
        self.resume_moment = None
        self._look_away()
        os.close(self._descriptor)

    def _start_second(self) -> None:
        now = time.monotonic()
        if now - self._second >= 1.0:
            self._second, self._read, self._said = now, 0, 0

    def _look_away(self) -> None:
        if self._descriptor in self._selector.get_map():
            self._selector.unregister(self._descriptor)
