"""The steps of a stream: audio is taken and heard, to the end of its source or to a signal."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE, DeviceUse
from speechkit.errors import Drained, SourceFailed
from speechkit.runtime.stopping import BRIEFLY, StopRequest
from speechkit.serving.stream.clock import Clock, VirtualClock
from speechkit.serving.stream.events import End, Event
from speechkit.serving.stream.feed import Feed
from speechkit.serving.stream.session import LiveSession
from speechkit.serving.stream.state import SessionState
from speechkit.serving.stream.times import Times

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform
    from speechkit.serving.sources.source import Source
    from speechkit.serving.stream.engines import Engines
    from speechkit.serving.stream.options import StreamOptions

Step = tuple[list[Event], SessionState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Engines and options that hear any source, on a clock."""

    engines: Engines
    options: StreamOptions
    clock: Clock

    @property
    def clock_name(self) -> str:
        return "audio" if isinstance(self.clock, VirtualClock) else "wall"

    @property
    def pinned(self) -> dict[str, Any]:
        """The options that a resumed stream must share."""
        return {**self.engines.options, **asdict(self.options), "clock": self.clock_name}


class Hearing:
    """``computed``: seconds of work so far. ``behind``: from the end of the audio that a step has
    heard to the end of the step, by the stream's clock."""

    def __init__(self, listener: Listener, stop: StopRequest, say: Callable[[str], object]) -> None:
        self.computed = 0.0
        self.behind = Times()
        self.device: DeviceUse | None = None
        self.listener = listener
        self._stop = stop
        self._say = say

    def steps(
        self,
        source: Source,
        state: SessionState | None = None,
        replayed: Iterable[Waveform] = (),
        *,
        otherwise: str = "",
    ) -> Generator[Step, None, None]:
        """What each step says and the state after it, from ``state`` on.

        ``replayed``: the audio from `SessionState.replay_from` to ``state.heard``. A signal raises
        `Drained`, which ends with ``otherwise``; without that, a signal ends the audio.
        """
        listener, stop = self.listener, self._stop
        state = state or SessionState()
        how = BRIEFLY if otherwise else "finishing what was heard"
        feed = Feed(
            source,
            listener.clock,
            step=listener.options.step,
            say=self._say,
            heard=state.heard,
            stopped=lambda: stop.is_set,
        )
        with stop.gently(how, twice=otherwise or "what is not out yet is lost"), feed:
            asr, vad = listener.engines.build()
            session = LiveSession(asr, vad, listener.options, listener.clock, state)
            if state.heard:
                session.replay(np.concatenate([*replayed]))
            error = yield from self._taken(feed, session, otherwise)
            *events, end = self._timed(session, session.finish)
            assert isinstance(end, End)
            self.device = asr.device_use()
            yield [*events, replace(end, error=error)], session.state

    def _taken(
        self, feed: Feed, session: LiveSession, otherwise: str
    ) -> Generator[Step, None, str | None]:
        """The steps of the audio that comes. Returns the error with which its source broke off."""
        try:
            while (audio := feed.take()) is not None:
                if self._stop.is_set and otherwise:
                    break  # without what may be less than a step
                yield self._timed(session, partial(session.feed, audio)), session.state
        except SourceFailed as e:
            return str(e)
        if self._stop.is_set and otherwise:
            heard = session.state.heard / SAMPLE_RATE
            raise Drained(f"{self._stop.cause} after {heard:.1f} s of audio; {otherwise}")
        return None

    def _timed(self, session: LiveSession, work: Callable[[], list[Event]]) -> list[Event]:
        began = time.monotonic()
        events = work()
        self.computed += time.monotonic() - began
        self.behind.add(self.listener.clock.now() - session.state.heard / SAMPLE_RATE)
        return events
