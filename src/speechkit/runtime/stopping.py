"""Requests to stop a run early: signals of the process, or an event that the caller sets."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from speechkit.errors import Drained
from speechkit.runtime import logs
from speechkit.runtime.messages import DRAIN_SIGNALS

GO_ON = "run the same command again to resume"


class StopRequest:
    """Set by ``cancel`` or, with ``signals``, by the first of `DRAIN_SIGNALS`.

    Inside `gently`, a signal only sets it. Elsewhere it raises `Drained` at once, which does no
    harm, because a kill at any moment does none. Only the main thread can handle signals. All
    signals after the first are ignored, because the process is about to end.
    """

    def __init__(self, cancel: threading.Event | None = None, *, signals: bool = False) -> None:
        self._cancel = cancel
        self._signalled = False
        self._gently = False
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
    def gently(self) -> Iterator[None]:
        """Inside, a signal raises no exception."""
        self._gently = True
        try:
            yield
        finally:
            self._gently = False

    def _on_signal(self, number: int, _: object) -> None:
        if self._signalled:
            return
        self._signalled = True
        # A second signal while the process ends must not change its exit code. Python removes
        # handlers before the process is gone, but ignored signals stay ignored. The first signal
        # may interrupt __enter__, and then no __exit__ follows.
        self._ignore()
        name = signal.Signals(number).name
        how = "finishing what has begun, 10 s at most" if self._gently else "stopping"
        with suppress(OSError):
            logs.say(f"{name}: {how}", "signal", "warning", signal=name)
        if not self._gently:
            raise Drained(f"{self.cause}; {GO_ON}")

    def _ignore(self) -> None:
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
