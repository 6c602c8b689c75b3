"""The speech in a stream, told while it comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.stages.vad.segmentation import joined, long_enough, padded, speech_edges
from speechkit.stages.vad.speech_frames import raised_so_far

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import VadEngine, Waveform
    from speechkit.stages.asr.windows import Span
    from speechkit.stages.vad.segmentation import SegmentationOptions, Stretches


class SpeechGate:
    """Where a stream holds speech, by the rules of `speech_segments`, but never cut.

    However the stream is cut into pieces, the answer at a sample is the same, and after `finish`
    it is that of `speech_segments` for the whole. What it says of the audio before `known` it never
    changes; only an open stretch may then go on. Quiet streams are raised by `raised_so_far`.

    ``heard``: samples from the stream's beginning. ``peak``: the largest absolute one.
    """

    def __init__(self, vad: VadEngine, options: SegmentationOptions) -> None:
        self._vad = vad
        self._options = options
        self.restart(np.zeros(0, np.float32), 0, 0.0)

    def restart(self, warm_up: Waveform, at: int, peak: float) -> None:
        """Go on at sample ``at`` as if the stream had begun with ``warm_up``, which ends there.

        Stretches that end in the warm-up are forgotten. ``peak``: of all audio so far.
        """
        self.heard = self._origin = at - len(warm_up)
        self.peak = peak
        self._stream = self._vad.stream()
        self._frames = 0  # whose probabilities are known
        self._speaking = False  # in the last of them
        # All in seconds from the origin. ``closed``: stretches that are over and long enough.
        # ``open``: the one that may go on, if there is one; it may be too short so far.
        self._closed: Stretches = np.zeros((0, 2))
        self._open: Stretches = np.zeros((0, 2))
        self._decided = 0.0
        self.feed(warm_up)
        self.forget(at / SAMPLE_RATE)

    def feed(self, waveform: Waveform) -> None:
        raised, self.peak = raised_so_far(waveform, self.peak)
        self.heard += len(waveform)
        self._hear(self._stream.feed(raised))

    def finish(self) -> None:
        self._hear(self._stream.finish())
        duration = (self.heard - self._origin) / SAMPLE_RATE
        self._open[:, 1] = np.minimum(self._open[:, 1], duration)
        self._closed, self._open = self._said(), self._open[:0]
        self._decided = duration

    @property
    def is_open(self) -> bool:
        """The last stretch goes on, or may go on after a pause shorter than ``min_silence``."""
        return len(long_enough(self._open, self._options)) > 0

    @property
    def known(self) -> float:
        """Seconds of the stream up to which speech is decided."""
        return self._origin / SAMPLE_RATE + self._decided

    def speech(self) -> list[Span]:
        """The stretches that end after what was forgotten, in seconds of the stream."""
        origin = self._origin / SAMPLE_RATE
        spans = padded(self._said(), self._decided, self._options)
        moved = [(round(origin + start, 3), round(origin + end, 3)) for start, end in spans]
        return [span for span in moved if span[1] > self._forgotten]

    def forget(self, before: float) -> None:
        """Tell no more of stretches that end ``before`` that time, which is `known`."""
        self._forgotten = before
        ends = self._origin / SAMPLE_RATE + self._closed[:, 1] + self._options.pad
        over = int(np.searchsorted(ends, before, side="right"))
        self._closed = self._closed[max(over - 1, 0) :]  # the last one limits an open one's pad

    def _hear(self, probabilities: NDArray[np.float32]) -> None:
        edges = self._frames + speech_edges(probabilities, self._options, speaking=self._speaking)
        self._frames += len(probabilities)
        now = self._frames * self._vad.hop
        before = self._open.ravel()[: 1 if self._speaking else 2]
        times = np.concatenate((before, edges * self._vad.hop))
        self._speaking = len(times) % 2 == 1
        if self._speaking:
            times = np.append(times, now)
        stretches = joined(times.reshape(-1, 2), self._options)
        over = len(stretches)
        if over and (self._speaking or now - stretches[-1, 1] < self._options.min_silence):
            over -= 1
        closed = long_enough(stretches[:over], self._options)
        self._closed, self._open = np.concatenate((self._closed, closed)), stretches[over:]
        self._decided = self._decided_at(now)

    def _decided_at(self, now: float) -> float:
        """Seconds from the origin up to which nothing after ``now`` can change a stretch."""
        if self.is_open:
            return float(self._open[0, 1])
        begin = float(self._open[0, 0]) if len(self._open) else now  # at the earliest
        last = self._closed[-1:, 1]
        return float(np.max((last + begin) / 2, initial=max(begin - self._options.pad, 0.0)))

    def _said(self) -> Stretches:
        return np.concatenate((self._closed, long_enough(self._open, self._options)))
