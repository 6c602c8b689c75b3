#!/usr/bin/env python
"""How well `vad` finds speech, set by set, and its defaults chosen by cross-validation.

    scripts/bench/vad_accuracy.py --data DATA [--engine ten|silero] [--sets vad ami …] [--live]
    scripts/bench/vad_accuracy.py --data DATA --choose

The sets are those of vad_sets.py. Scored are frames of 10 ms that are speech, or a pause, for
certain; of a single word, whether any of it is found. `--live` amplifies quiet recordings as
streams are, by the peak so far instead of the peak of the whole.

`--choose` (minutes) minimises the seconds of speech missed, times `MISSED`, plus those of pauses
taken for speech, per second of a set, the mean of all sets. What is missed never becomes words, two
or three a second; a second too much beside speech costs a thirtieth of a recogniser's window, and
without any speech it invents less than half a word. `LEAST_F1` and `MOST_FALSE` hold the edges and
the noise: segments are labels, too. A fifth of each set's speakers or recordings is held out in
turn, and what was chosen without it is measured on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import benchlib
import numpy as np
from numpy.typing import NDArray
from vad_sets import FRAME, RATE, SETS, Recording

from speechkit.engines import registry
from speechkit.stages.vad.segmentation import DEFAULTS, SegmentationOptions, speech_segments
from speechkit.stages.vad.speech_frames import raised, raised_so_far

MISSED = 4  # seconds too much that a second missed is worth: recall as an F2 weighs it
LEAST_F1 = 0.935  # on the recordings labelled for VAD
MOST_FALSE = 5.0  # seconds a minute where nobody speaks
FOLDS = 5
MOST_WORDS = 500  # of the single words, for the choice: all alike, and so many

GRID = {
    "threshold": (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
    "hysteresis": (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35),
    "min_speech": (0.05, 0.1),
    "min_silence": (0.1, 0.2, 0.3),
    "pad": (0.0, 0.03, 0.06, 0.1),
}

Counts = NDArray[np.int64]  # [..., columns]: frames, but for the words
FOUND, SPEECH, FALSE, PAUSE, WORDS_MISSED, WORDS = range(6)  # the columns


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording, and an engine's probabilities of it."""

    recording: Recording
    probabilities: NDArray[np.float32]
    hop: float
    speech_before: Counts  # [frames + 1], as is `pause_before`: how many lie before each frame
    pause_before: Counts

    def counts(self, options: SegmentationOptions) -> list[int]:
        duration = len(self.recording.samples) / RATE
        segments = speech_segments(self.probabilities, self.hop, duration, options)
        speech, pause = int(self.speech_before[-1]), int(self.pause_before[-1])
        if self.recording.whole:
            return [speech * bool(segments), speech, 0, 0, not segments, 1]
        edges = np.ceil(np.array(segments).reshape(-1, 2) * RATE / FRAME - 0.5).astype(int)
        edges = edges.clip(0, len(self.recording.speech))
        found = int(np.diff(self.speech_before[edges]).sum())
        false = int(np.diff(self.pause_before[edges]).sum())
        return [found, speech, false, pause, 0, 0]


def heard_by(engine: str, recordings: Sequence[Recording], *, live: bool = False) -> list[Heard]:
    vad = registry.create("vad", engine)
    waveforms = [
        raised_so_far(one.samples, 0.0)[0] if live else raised(one.samples) for one in recordings
    ]
    return [
        Heard(one, probabilities, vad.hop, before(one.speech), before(one.pause))
        for one, probabilities in zip(recordings, vad.probabilities(waveforms), strict=True)
    ]


def before(marked: NDArray[np.bool_]) -> Counts:
    return np.concatenate(([0], np.cumsum(marked)))


def counts(recordings: Iterable[Heard], options: SegmentationOptions) -> Counts:
    """[recordings, columns]"""
    return np.array([one.counts(options) for one in recordings])


def f1(total: Counts) -> NDArray[np.float64]:
    found, speech, false = total[..., FOUND], total[..., SPEECH], total[..., FALSE]
    return 2 * found / np.maximum(found + false + speech, 1)


def false_alarms(total: Counts) -> NDArray[np.float64]:
    """Seconds in a minute of pauses."""
    return 60 * total[..., FALSE] / np.maximum(total[..., PAUSE], 1)


def cost(total: Counts) -> NDArray[np.float64]:
    missed = total[..., SPEECH] - total[..., FOUND]
    return (MISSED * missed + total[..., FALSE]) / (total[..., SPEECH] + total[..., PAUSE])


# ---- Measuring ----


HEAD = f"{'':20}{'precision':>10}{'recall':>10}{'F1':>10}{'false s a minute':>18}"


def measure(sets: dict[str, list[Heard]], options: SegmentationOptions) -> None:
    print(HEAD)
    for name, recordings in sets.items():
        print(row(name, counts(recordings, options).sum(axis=0)))
        for part in dict.fromkeys(one.recording.part for one in recordings if one.recording.part):
            own = [one for one in recordings if one.recording.part == part]
            print(row(f"  {part}", counts(own, options).sum(axis=0)))


def row(title: str, total: Counts) -> str:
    found, speech, false = total[:3].tolist()
    if total[WORDS]:
        return f"{title:20}{total[WORDS_MISSED]} of {total[WORDS]} words missed"
    if not speech:
        return f"{title:50}{false_alarms(total):18.2f}"
    scores = found / max(found + false, 1), found / speech, float(f1(total))
    return f"{title:20}" + "".join(f"{x:10.3f}" for x in scores) + f"{false_alarms(total):18.2f}"


# ---- Choosing ----


def settings() -> list[SegmentationOptions]:
    grid = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    return [
        SegmentationOptions(**values, max_segment=30.0)
        for values in grid
        if values["hysteresis"] < values["threshold"]
    ]


def folds(recordings: Sequence[Heard]) -> NDArray[np.int64]:
    groups = list(dict.fromkeys(one.recording.group for one in recordings))
    return np.array([groups.index(one.recording.group) % FOLDS for one in recordings])


def best(totals: dict[str, Counts]) -> int:
    """The index of the setting; ``totals`` [settings, columns] of each set."""
    allowed = f1(totals["vad"]) >= LEAST_F1
    for speechless in ("noise", "tones"):
        allowed &= false_alarms(totals[speechless]) <= MOST_FALSE
    mean = np.mean([cost(total) for total in totals.values()], axis=0)
    return int(np.where(allowed, mean, np.inf).argmin())


def choose(sets: dict[str, list[Heard]]) -> SegmentationOptions:
    grid = settings()
    sets = {name: one[:: max(1, len(one) // MOST_WORDS)] for name, one in sets.items()}
    table = {
        name: np.array([counts(recordings, options) for options in grid])
        for name, recordings in sets.items()
    }
    fold = {name: folds(recordings) for name, recordings in sets.items()}

    held_out = {name: np.zeros(WORDS + 1, np.int64) for name in sets}
    for number in range(FOLDS):
        rest = {name: one[:, fold[name] != number].sum(axis=1) for name, one in table.items()}
        chosen = best(rest)
        print(f"without fold {number}: {grid[chosen]}")
        for name, one in table.items():
            held_out[name] += one[chosen][fold[name] == number].sum(axis=0)
    print("held out:", HEAD, *(row(name, total) for name, total in held_out.items()), sep="\n")
    return grid[best({name: one.sum(axis=1) for name, one in table.items()})]


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with a folder for each set"
    )
    parser.add_argument("--engine", choices=list(DEFAULTS), help="only this one")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--choose", action="store_true", help="the defaults that all sets call for")
    parser.add_argument("--live", action="store_true", help="hear the recordings as streams")
    options = parser.parse_args()
    if options.choose and options.sets != list(SETS):
        parser.error("--choose needs all sets")
    recordings = {name: SETS[name](options.data) for name in options.sets}
    for engine in [options.engine] if options.engine else DEFAULTS:
        sets = {name: heard_by(engine, own, live=options.live) for name, own in recordings.items()}
        setting = choose(sets) if options.choose else DEFAULTS[engine]
        print(f"{engine}: {setting}")
        measure(sets, setting)


if __name__ == "__main__":
    main()
