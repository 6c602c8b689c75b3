"""Batches of utterances of similar length, the longest first, without reading the whole input."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile
from pathlib import Path

from speechkit.records import Utterance

Batch = tuple[Utterance, ...]

WINDOW = 1024  # utterances sorted together: limits the memory and the reordering of a run
MOST = 256  # utterances in a batch, unless the stage sets another limit
MOST_DOUBLINGS = 20  # of the size of batches
UNKNOWN_SECONDS = 10.0  # assumed for an utterance without a stated duration
SMALL = 100_000  # bytes of a file, 3 s of plain samples, below which its header isn't read


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """The number of utterances in a batch: ``most``.

    With ``least``, batches begin with so many, grow, and shrink again towards the end of a run.
    """

    most: int = MOST
    least: int | None = None

    def of(self, number: int, left: float, workers: int) -> int:
        """The size of the batch of this ``number``, with utterances for ``left`` windows to come.

        Batches double at first, so that the workers soon have something to compute. Later they are
        half a worker's share of the rest, so that all workers end at about the same time (guided
        self-scheduling: Polychronopoulos and Kuck, 1987).
        """
        if self.least is None:
            return self.most
        sizes = [self.most, self.least << min(number // workers, MOST_DOUBLINGS)]
        sizes += [math.ceil(left / (2 * workers))] if workers > 1 else []
        return max(self.least, min(sizes))


EQUAL = BatchSizes()


def batches(
    utterances: Iterable[Utterance],
    batch_audio: float,
    sizes: BatchSizes = EQUAL,
    *,
    total: int = 0,
    workers: int = 1,
) -> Iterator[Batch]:
    """Yield batches of at most ``batch_audio`` seconds (or one utterance), in these ``sizes``.

    ``total``: number of utterances, which ``workers`` share. Smaller batches have less audio in
    proportion. Within each window the longest utterances come first, so that workers finish
    together and the members of a batch have similar lengths. With ``batch_audio`` infinite, no
    header is read.
    """
    source = iter(utterances)
    measure = seconds if math.isfinite(batch_audio) else _unmeasured
    number = 0
    while window := [(measure(utterance), utterance) for utterance in islice(source, WINDOW)]:
        window.sort(key=lambda pair: pair[0], reverse=True)
        windows = [max(1.0, length * sizes.most / batch_audio) for length, _ in window]
        total = max(0, total - len(window))
        later = total * sum(windows) / len(windows)  # as long as these, for all that is known
        while window:
            most = sizes.of(number, later + sum(windows), workers)
            count = _count_within(window[:most], batch_audio * most / sizes.most)
            yield tuple(utterance for _, utterance in window[:count])
            window, windows = window[count:], windows[count:]
            number += 1


def _count_within(measured: Sequence[tuple[float, Utterance]], most_audio: float) -> int:
    """The number of utterances, from the first on, with at most ``most_audio``; at least one."""
    held = accumulate(length for length, _ in measured)
    return max(1, sum(1 for _ in takewhile(lambda audio: audio <= most_audio, held)))


def seconds(utterance: Utterance) -> float:
    """The stated duration of an utterance or, for a large file, an estimate from its header.

    Without the estimate, hours of audio would count as `UNKNOWN_SECONDS` and fill the memory.
    """
    if utterance.duration:
        return utterance.duration
    with contextlib.suppress(Exception):  # the decoder reports what is wrong with the file
        if Path(utterance.audio).stat().st_size > SMALL:
            from speechkit.io import audio

            estimate = audio.estimated_seconds(utterance.audio)
            return max(estimate - utterance.offset, 0.0) if estimate else UNKNOWN_SECONDS
    return UNKNOWN_SECONDS


def _unmeasured(_: Utterance) -> float:
    return 0.0
