"""Hands on the audio of a source in steps, which a thread has read ahead."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import SourceFailed
from speechkit.serving.stream.clock import Clock, VirtualClock

if TYPE_CHECKING:
    from types import TracebackType

    from speechkit.engines.protocols import Waveform
    from speechkit.serving.sources.source import Source

AHEAD = 10.0  # seconds read ahead of a source that can wait
BEHIND, CAUGHT_UP = 3.0, 1.0  # seconds beyond a step
PAUSED = 0.5  # seconds that a source is late, from which on the clock waits for it
POLL = 0.1  # seconds in which a request to stop is noticed
CLOSING = 0.5  # seconds that its thread may take to end


class Feed:
    """The steps of a source: ``step`` seconds of audio or, on a wall clock, all there is by then.

    Nothing is dropped: a source that can wait is read later, a live one fills the memory.
    ``heard``: samples of the stream before the first of this source. `take` calls ``say`` with
    sentences: the source's remarks, that the stream fell behind, and that it has caught up. Once
    ``stopped`` is true no more is read, and what has been read is the end.
    """

    def __init__(
        self,
        source: Source,
        clock: Clock,
        *,
        step: float,
        say: Callable[[str], object],
        heard: int = 0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._clock = clock
        self._step = round(step * SAMPLE_RATE)
        self._say = say
        self._stopped = stopped
        self._is_exact = isinstance(clock, VirtualClock)
        self._first = self._taken = self._arrived = heard  # samples of the stream
        self._most = max(round(AHEAD * SAMPLE_RATE), 2 * self._step)
        self._blocks: deque[Waveform] = deque()
        self._changed = threading.Condition()  # guards all that the thread changes
        self._has_ended = self._is_closed = False
        self._error: BaseException | None = None
        self._is_behind = False
        self._clock.set(heard / SAMPLE_RATE)
        self._thread = threading.Thread(target=self._read, name="source", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop reading. A thread that waits for a silent pipe ends with the process."""
        with self._changed:
            self._close()
        self._thread.join(CLOSING)

    def take(self) -> Waveform | None:
        """The next ``[samples]``; fewer than a step only at the end, and then None.

        Waits for them. Raise `SourceFailed` after the last sample of a source, and any other error
        at once: what is less than a step then isn't the end.
        """
        began = self._clock.now()
        with self._changed:
            waited = self._wait()
            if self._error and not isinstance(self._error, SourceFailed):
                raise self._error
            behind = 0.0 if waited else self._behind()
            waveform = self._pop(self._step if self._is_exact else self._queued)
            self._changed.notify_all()
        self._set_clock(began if waited else None)
        self._tell(behind)
        if len(waveform):
            return waveform
        if self._error:
            raise self._error
        return None

    @property
    def _queued(self) -> int:
        return self._arrived - self._taken

    def _wait(self) -> bool:
        """Wait for the next step, for which a source that has given less is to blame: True."""
        waited = self._queued < self._step
        while not self._stopped():
            if self._queued >= self._step or self._has_ended:
                return waited
            self._changed.wait(POLL)
        self._close()
        return waited

    def _close(self) -> None:
        self._is_closed = self._has_ended = True
        self._changed.notify_all()

    def _set_clock(self, waited_since: float | None) -> None:
        """A wall clock never shows less than the audio taken, and stands while the source pauses.

        It is never set back behind the moment from which on the source was waited for.
        """
        heard = self._taken / SAMPLE_RATE
        late = self._clock.now() - heard
        if self._is_exact or late < 0:
            self._clock.set(heard)
        elif waited_since is not None and late > PAUSED:
            self._clock.set(max(heard, waited_since))

    def _behind(self) -> float:
        """The seconds by which what is taken next is later than it should be.

        0 for a source that comes faster than it would be played.
        """
        now = self._clock.now()
        is_ahead = self._arrived / SAMPLE_RATE > now + PAUSED
        return 0.0 if is_ahead else now - (self._taken + self._step) / SAMPLE_RATE

    def _pop(self, most: int) -> Waveform:
        parts: list[Waveform] = [np.zeros(0, np.float32)]
        left = min(most, self._queued)
        self._taken += left
        while left:
            block = self._blocks.popleft()
            if len(block) > left:
                self._blocks.appendleft(block[left:])
            parts.append(block[:left])
            left -= len(parts[-1])
        return np.concatenate(parts)

    def _tell(self, behind: float) -> None:
        while self._source.remarks:
            self._say(self._source.remarks.popleft())
        if not self._is_behind and behind >= BEHIND:
            self._is_behind = True
            self._say(f"fell behind by {behind:.0f} s; the steps are longer until it has caught up")
        elif self._is_behind and behind <= CAUGHT_UP:
            self._is_behind = False
            self._say("has caught up")

    def _read(self) -> None:
        try:
            for block in self._source.blocks():
                if not self._add(block):
                    break
        except BaseException as e:
            if not self._is_closed:
                self._error = e
        finally:
            with self._changed:
                self._close()

    def _add(self, block: Waveform) -> bool:
        """Queue a block once there is room for it; False where nobody takes it any more."""
        with self._changed:
            if not self._source.is_live:
                self._changed.wait_for(lambda: self._queued < self._most or self._is_closed)
            if self._is_closed:
                return False
            is_first = self._arrived == self._first
            self._arrived += len(block)
            self._blocks.append(block)
            if is_first and not self._is_exact:
                now = min(self._arrived, self._first + self._step)  # what is beyond came early
                self._clock.set(now / SAMPLE_RATE)
            self._changed.notify_all()
            return True
