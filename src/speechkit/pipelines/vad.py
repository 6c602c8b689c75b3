"""Voice activity detection: recordings to speech segments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE, VadEngine
from speechkit.io import manifest
from speechkit.pipelines.loudness import raised
from speechkit.pipelines.running.task import Loaded, Stage, Task, load_audio
from speechkit.pipelines.segmentation import SegmentationOptions, speech_segments
from speechkit.records import Record, Utterance

#: What is said of a recording and not of its parts.
OF_THE_WHOLE = (
    *("text", "pred_text", "segments", "speech_duration", "words"),
    *("frame_hop", "frame_probabilities"),
)


@dataclass(frozen=True, slots=True)
class VadOptions:
    """``emit``: ``recordings`` (a line each, with its segments) or ``segments`` (a line each)."""

    engine: str
    segmentation: SegmentationOptions
    emit: str = "recordings"
    probabilities: bool = False
    channel: int | None = None


@dataclass(slots=True)
class VadTask(Task):
    """`task.Task` of the vad stage."""

    options: VadOptions
    one_by_one: bool
    _engine: VadEngine = field(init=False)

    def open(self) -> None:
        self._engine = registry.create("vad", self.options.engine)

    def load(self, utterance: Utterance) -> Loaded:
        loaded = load_audio(utterance, SAMPLE_RATE, self.options.channel)
        return replace(loaded, data=raised(loaded.data))

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        found = self._engine.probabilities([loaded.data for loaded in batch])
        for loaded, probabilities in zip(batch, found, strict=True):
            segments = speech_segments(
                probabilities, self._engine.hop, loaded.seconds, self.options.segmentation
            )
            offset = loaded.utterance.offset
            shifted = [(round(s + offset, 3), round(e + offset, 3)) for s, e in segments]
            if self.options.emit == "segments":
                yield list(_segment_lines(loaded.utterance, shifted))
            else:
                yield [self._line(loaded, shifted, probabilities)]

    def _line(self, loaded: Loaded, segments: list[tuple[float, float]], frames: Any) -> Record:
        record = {
            **loaded.utterance.record,
            "duration": loaded.utterance.duration or loaded.seconds,
            "segments": [{"start": start, "end": end} for start, end in segments],
            "speech_duration": round(math.fsum(end - start for start, end in segments), 3),
        }
        if self.options.probabilities:
            record["frame_hop"] = self._engine.hop
            record["frame_probabilities"] = [round(p, 4) for p in frames.tolist()]
        return record


def vad_stage(options: VadOptions) -> Stage:
    info = registry.find("vad", options.engine)
    return Stage(
        name="vad",
        task=VadTask(options, one_by_one=not info.batched),
        batch_audio=info.batch_audio,
        options=asdict(options),
        packages=info.packages,
        cuts=options.emit == "segments",
    )


def choose_engine() -> tuple[str, str | None]:
    """The engine ``auto`` stands for, and why it is not the first choice."""
    lacking = registry.check(registry.find("vad", "ten"))
    return ("ten", None) if lacking is None else ("silero", lacking)


def _segment_lines(
    utterance: Utterance, segments: Sequence[tuple[float, float]]
) -> Iterator[Record]:
    name = manifest.name(utterance.record)
    for number, (start, end) in enumerate(segments):
        record = {**utterance.record, "offset": start, "duration": round(end - start, 3)}
        if record.get("id") is not None:
            record["id"] = f"{name}-{number:04}"
        for key in OF_THE_WHOLE:
            record.pop(key, None)
        yield {**record, "parent": name}
