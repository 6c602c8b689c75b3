"""Streams on a simulated clock: speechkit's `LiveSession`, and the agreement policy.

A step begins when its audio is there and the step before is over, and takes as long as its
computing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from agreement_peer import RATE, Agreement

from speechkit.engines import registry

COMPUTE_TYPE = "int8_float32"

# Options of the agreement policy; the published one has 5 beams and no VAD.
PEERS: dict[str, dict[str, Any]] = {
    "agreement": {"beam_size": 5, "vad": False},
    "agreement, VAD": {"beam_size": 5, "vad": True},
    "agreement, 1 beam": {"beam_size": 1, "vad": False},
}
# Options of `speechkit stream`.
OURS: dict[str, dict[str, Any]] = {
    "speechkit": {},
    "speechkit, agreement": {"policy": "agreement"},
    "speechkit, attention": {"policy": "attention"},
}


class Listener(Protocol):
    """A stream; `feed` and `finish` return the words that have become final."""

    step: float  # seconds
    shown: bool  # whether there has been any text

    def feed(self, samples: np.ndarray) -> Sequence[Any]: ...

    def finish(self) -> Sequence[Any]: ...


class Speechkit:
    """A `Listener` over a `LiveSession`."""

    def __init__(self, session: Any, step: float) -> None:
        self.step = step
        self.shown = False
        self._session = session

    def feed(self, samples: np.ndarray) -> Sequence[Any]:
        return self._words(self._session.feed(samples))

    def finish(self) -> Sequence[Any]:
        return self._words(self._session.finish())

    def _words(self, events: Sequence[Any]) -> Sequence[Any]:
        from speechkit.serving.stream.events import Final, Partial

        self.shown |= any(isinstance(event, Final | Partial) for event in events)
        return [word for event in events if isinstance(event, Final) for word in event.words]


class SimulatedClock:
    """A clock that jumps to where audio is there, and runs on while it is computed."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._ahead = -timer()  # seconds by which it is before the timer

    def now(self) -> float:
        return self._timer() + self._ahead

    def wait_until(self, seconds: float) -> None:
        self._ahead += max(0.0, seconds - self.now())


def listeners(
    name: str, model: str, options: Mapping[str, Any]
) -> Callable[[SimulatedClock], Listener]:
    """A loaded model, which makes a stream for each clock."""
    if name in PEERS:
        from faster_whisper import WhisperModel

        threads = int(os.environ["OMP_NUM_THREADS"])
        whisper = WhisperModel(model, compute_type=COMPUTE_TYPE, cpu_threads=threads)
        return lambda _: Agreement(whisper, **PEERS[name])

    from speechkit.serving.stream.options import StreamOptions
    from speechkit.serving.stream.session import LiveSession

    engine = registry.create("asr", "faster-whisper", model=model, language="en")
    vad = registry.create("vad", "silero")
    chosen = StreamOptions(**OURS[name], **options)
    return lambda clock: Speechkit(LiveSession(engine, vad, chosen, clock), chosen.step)


def simulate(
    listen: Callable[[SimulatedClock], Listener],
    samples: np.ndarray,
    timer: Callable[[], float],
) -> dict[str, Any]:
    """The ``words`` with the time of their final, when text was ``shown`` first, and the ``share``
    of the time that the computing took."""
    clock = SimulatedClock(timer)
    listener = listen(clock)
    words: list[dict[str, Any]] = []
    shown: float | None = None
    computing = heard = 0.0
    length = len(samples) / RATE
    while heard < length:
        clock.wait_until(min(heard + listener.step, length))
        begun = clock.now()
        first, heard = round(heard * RATE), min(begun, length)
        new = listener.feed(samples[first : round(heard * RATE)])
        if heard == length:
            new = [*new, *listener.finish()]
        now = clock.now()
        computing += now - begun
        if listener.shown and shown is None:
            shown = now
        words += [
            {"word": word.text.strip(), "start": word.start, "end": word.end, "emitted": now}
            for word in new
        ]
    return {"words": words, "shown": shown, "share": computing / length}
