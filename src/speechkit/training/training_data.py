"""The utterances that a training learns from: checked, labelled, and accounted for at its end."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechkit import keys
from speechkit.engines.finetune.whisper.labels import LabelInvalid, Labels
from speechkit.io import manifest
from speechkit.io.atomic import publish_lines
from speechkit.io.inputs import Inputs
from speechkit.records import Record, Utterance
from speechkit.runtime import job
from speechkit.runtime.progress import Listener
from speechkit.runtime.stopping import StopRequest
from speechkit.stages.validate.stage import ValidateOptions, validate_stage
from speechkit.training.options import FinetuneOptions

VALIDATED, USAGE = "validated.jsonl", "training-data.jsonl"
SET = ("used", "skipped")  # keys
#: Issues that keep nothing from training: those of the quality of sound, because a model can learn
#: from such speech, and may have to; and leaks between splits, because all are trained on.
TOLERATED = {
    *("narrow_band", "clipped", "dropped_samples", "mostly_silence", "header_disagrees"),
    *("duplicate_audio", "leaked_audio", "leaked_speaker"),
}
STEP = 0.5  # seconds: the context is a multiple of it where no one states it


@dataclass(frozen=True, slots=True)
class TrainingUtterance:
    """``tokens``: its label. ``seconds``: of audio."""

    utterance: Utterance
    tokens: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingData:
    """``utterances``: those that can be trained on, in input order. ``skipped``: why the others
    can't, by their index in the input. ``count``: utterances of the input. ``context``: seconds of
    an encoder window, which hold each utterance. ``first_timestamp``: as in `Labels`. ``timed``:
    utterances whose labels have times."""

    utterances: tuple[TrainingUtterance, ...]
    skipped: Mapping[int, tuple[str, ...]]
    count: int
    context: float
    first_timestamp: int
    timed: int

    @property
    def reasons(self) -> dict[str, int]:
        """The number of utterances skipped by each reason, the most frequent first."""
        return dict(Counter(r for reasons in self.skipped.values() for r in reasons).most_common())


def check(
    options: FinetuneOptions,
    labels: Labels,
    folder: Path,
    *,
    progress: Listener | None = None,
    stop: StopRequest | None = None,
) -> None:
    """Validate the data into ``folder``, for `select`; goes on where an earlier run was stopped.

    Raise as `job.run`.
    """
    limits = {"max_duration": _longest(options, labels)}
    stage = validate_stage(
        ValidateOptions(
            channel=options.channel, track=options.track, thresholds=limits, require_text=True
        )
    )
    with (stop or StopRequest()).ending("while the data were checked") as cancel:
        job.run(
            replace(stage, inputs=Inputs),
            options.train,
            job.JobOptions(output=folder / VALIDATED),
            progress=progress,
            cancel=cancel,
        )


def select(options: FinetuneOptions, labels: Labels, folder: Path) -> TrainingData:
    """What can be trained on of the data that `check` has validated into ``folder``.

    An utterance is skipped for the issues that validate finds, but for those that are `TOLERATED`,
    and because it has no label.
    """
    most = _longest(options, labels)
    utterances: list[TrainingUtterance] = []
    skipped: dict[int, tuple[str, ...]] = {}
    shared: dict[int, int] = {}  # a token is one object however often it is used
    count = 0
    for count, record in enumerate(manifest.read_records(str(folder / VALIDATED)), 1):
        reasons = [issue for issue in record["issues"] if issue not in TOLERATED]
        try:
            label = labels.tokens(record, most)
            tokens = tuple(map(shared.setdefault, label, label))
        except LabelInvalid as e:
            reasons += [e.reason] if e.reason not in reasons else []
        if reasons:
            skipped[count - 1] = tuple(reasons)
        else:
            utterances.append(_utterance(count - 1, record, tokens))
    context = options.context or rounded_up(max((one.seconds for one in utterances), default=STEP))
    return TrainingData(
        utterances=tuple(utterances),
        skipped=skipped,
        count=count,
        context=min(context, most),
        first_timestamp=labels.first_timestamp,
        timed=sum(labels.has_timestamps(one.tokens) for one in utterances),
    )


def write_usage(
    folder: Path, data: TrainingData, used: Sequence[int], failures: Mapping[int, Record]
) -> None:
    """Write `USAGE`: each line of the input with ``used``, how often it was trained on.

    Those that were skipped say why in ``skipped``; ``warnings`` has the other findings of the
    check. ``used``: of each utterance of the input. ``failures``: the ``error`` of those that could
    not be loaded, by input index.
    """
    with publish_lines(folder / USAGE) as file:
        for index, record in enumerate(manifest.read_records(str(folder / VALIDATED))):
            results: Record = {"used": used[index]}
            if index in data.skipped:
                results["skipped"] = list(data.skipped[index])
            if warnings := _warnings(record):
                results["warnings"] = warnings
            if index in failures:
                results["error"] = failures[index]
            file.write(manifest.encoded(_as_given(record) | results) + b"\n")


def _warnings(record: Record) -> list[str]:
    """What the check finds and an utterance is not skipped for."""
    return [*(issue for issue in record["issues"] if issue in TOLERATED), *record["warnings"]]


def _longest(options: FinetuneOptions, labels: Labels) -> float:
    """Seconds of the longest utterance that can be trained on."""
    return min(options.context or labels.window, labels.window)


def rounded_up(seconds: float) -> float:
    """The context for utterances of so many seconds."""
    return math.ceil(round(seconds / STEP, 3)) * STEP


def _utterance(index: int, record: Record, tokens: tuple[int, ...]) -> TrainingUtterance:
    """Without its line: hundreds of hours have to fit in memory."""
    seconds = float(record["duration"])
    audio = sys.intern(record["audio_filepath"])  # many slices have one file
    utterance = Utterance(index, audio, float(record.get("offset") or 0.0), seconds)
    return TrainingUtterance(utterance, tokens, seconds)


def _as_given(record: Record) -> Record:
    """The line without what `check` and an earlier training have added, but for its duration."""
    line = keys.with_results(record, "validate", {}, None)
    return {key: value for key, value in line.items() if key not in SET}
