"""Requests to stop a run early: signals of the process, or an event that the caller sets."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from speechkit.errors import Drained
from speechkit.runtime import logs
from speechkit.runtime.messages import DRAIN_SIGNALS

GO_ON = "run the same command again to resume"
BRIEFLY = "finishing what has begun, 10 s at most"
_ECHO = 3.0  # seconds in which a launcher may pass on the same signal once more


class StopRequest:
    """Set by ``cancel`` or, with ``signals``, by the first of `DRAIN_SIGNALS`.

    Inside `gently`, a signal only sets it. Elsewhere it raises `Drained` at once, which does no
    harm, because a kill at any moment does none. Only the main thread can handle signals. All
    signals after the one that ends the process are ignored.
    """

    def __init__(self, cancel: threading.Event | None = None, *, signals: bool = False) -> None:
        self._cancel = cancel
        self._signalled = False
        self._gently = False
        self._how, self._twice, self._since = BRIEFLY, "", 0.0
        heard = DRAIN_SIGNALS if signals else ()
        self._handlers = {number: signal.getsignal(number) for number in heard}

    def __enter__(self) -> StopRequest:
        for number in self._handlers:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._signalled:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        if self._signalled:  # or meanwhile
            self._ignore()

    @property
    def is_set(self) -> bool:
        return self._signalled or self._cancelled

    @property
    def _cancelled(self) -> bool:
        return self._cancel is not None and self._cancel.is_set()

    @property
    def cause(self) -> str:
        return "cancelled" if self._cancelled else "stopped by a signal"

    @contextmanager
    def gently(self, how: str = BRIEFLY, *, twice: str = "") -> Iterator[None]:
        """Inside, a signal raises no exception; with ``twice``, a second one does.

        ``how``: what it says after the name of the signal. ``twice``: how that exception ends.
        """
        self._gently, self._twice, self._how = True, twice, how
        try:
            yield
        finally:
            self._gently, self._twice = False, ""
            if self._signalled:
                self._ignore()

    @contextmanager
    def ending(self, when: str) -> Iterator[threading.Event]:
        """Around a job that takes the event for its ``cancel``; `Drained` then says ``when``."""
        try:
            with self.gently():
                yield _Request(self)
        except Drained as e:
            raise Drained(f"{self.cause} {when}; {GO_ON}") from e

    def _on_signal(self, number: int, _: object) -> None:
        is_second = self._signalled
        if is_second and time.monotonic() - self._since < _ECHO:
            return
        self._signalled, self._since = True, time.monotonic()
        goes_on = self._gently and not is_second
        # A second signal while the process ends must not change its exit code. Python removes
        # handlers before the process is gone, but ignored signals stay ignored. The first signal
        # may interrupt __enter__, and then no __exit__ follows.
        if not (goes_on and self._twice):
            self._ignore()
        name = signal.Signals(number).name
        with suppress(OSError):
            how = self._how if goes_on else "stopping"
            logs.say(f"{name}: {how}", "signal", "warning", signal=name)
        if not goes_on:
            raise Drained(f"{self.cause}; {self._twice or GO_ON}")

    def _ignore(self) -> None:
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)


class _Request(threading.Event):
    """A request as an event."""

    def __init__(self, stop: StopRequest) -> None:
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        return self._stop.is_set
