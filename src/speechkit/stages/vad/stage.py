"""Voice activity detection: recordings to speech segments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from speechkit import keys
from speechkit.engines import registry
from speechkit.engines.protocols import VadEngine
from speechkit.engines.registry import Engine
from speechkit.io import manifest
from speechkit.records import Record, Utterance
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio
from speechkit.stages.vad.segmentation import (
    SegmentationOptions,
    default_segmentation,
    speech_segments,
)
from speechkit.stages.vad.speech_frames import probabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class VadOptions:
    """Options of the vad stage.

    ``emit``: ``recordings`` for a line per recording with its segments, ``segments`` for a line per
    segment. ``segmentation``: None for the engine's default. ``probabilities``: whether lines have
    those of their frames. ``engine_options``: the options set among those of the engine's
    `EngineOptions`.
    """

    engine: str = registry.default("vad")
    segmentation: SegmentationOptions | None = None
    emit: str = "recordings"
    probabilities: bool = False
    channel: int | None = None
    track: str | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class VadProcessor(Processor):
    """`Processor` of the vad stage."""

    options: VadOptions
    engine: Engine
    one_by_one: bool
    _engine: VadEngine = field(init=False)

    def open(self) -> None:
        self._engine = self.engine.build()

    def load(self, utterance: Utterance) -> Loaded:
        return load_audio(utterance, self.options.channel, self.options.track)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        segmentation = self.options.segmentation
        assert segmentation
        frame_probabilities = probabilities(self._engine, [loaded.data for loaded in batch])
        for loaded, frames in zip(batch, frame_probabilities, strict=True):
            segments = speech_segments(frames, self._engine.hop, loaded.seconds, segmentation)
            offset = loaded.utterance.offset
            shifted = [(round(s + offset, 3), round(e + offset, 3)) for s, e in segments]
            if self.options.emit == "segments":
                yield list(_segment_lines(loaded, shifted))
            else:
                yield [self._record(loaded, shifted, frames)]

    def _record(self, loaded: Loaded, segments: list[tuple[float, float]], frames: Any) -> Record:
        results: Record = {
            "duration": loaded.utterance.duration or loaded.seconds,
            "segments": [{"start": start, "end": end} for start, end in segments],
            "speech_duration": round(math.fsum(end - start for start, end in segments), 3),
        }
        if self.options.probabilities:
            results["frame_hop"] = self._engine.hop
            results["frame_probabilities"] = [round(p, 4) for p in frames.tolist()]
        return keys.with_results(loaded.utterance.record, "vad", results, loaded.data.flags)


def vad_stage(options: VadOptions) -> Stage:
    """Return the vad stage. Raises `UsageError` for options that the engine lacks."""
    info = registry.find("vad", options.engine)
    engine = registry.configure(info, options.engine_options)
    if options.segmentation is None:
        options = replace(options, segmentation=default_segmentation(options.engine))
    pinned = asdict(options)
    del pinned["engine_options"]
    return Stage(
        name="vad",
        processor=VadProcessor(options, engine, one_by_one=not info.batched),
        batch_audio=info.batch_audio,
        options={**pinned, **registry.pinned(info, options.engine_options)},
        packages=info.packages,
        result_keys=() if options.emit == "segments" else ("segments", "speech_duration"),
        cuts=options.emit == "segments",
    )


def choose_engine() -> tuple[str, str | None]:
    """The engine for ``auto``, and the reason if it isn't the first choice."""
    lacking = registry.check(registry.find("vad", "ten"))
    return ("ten", None) if lacking is None else ("silero", lacking)


def _segment_lines(loaded: Loaded, segments: Sequence[tuple[float, float]]) -> Iterator[Record]:
    recording = loaded.utterance.record
    name = manifest.name(recording)
    carried = keys.for_a_slice(keys.with_results(recording, "vad", {}, loaded.data.flags))
    for number, (start, end) in enumerate(segments):
        line = {**carried, "offset": start, "duration": round(end - start, 3)}
        if line.get("id") is not None:
            line["id"] = f"{name}-{number:04}"
        yield {**line, "parent": name}
