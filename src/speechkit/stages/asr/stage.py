"""Speech recognition: utterances to transcripts with times."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from speechkit.engines import model_catalogue, registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import EACH, AsrEngine, Clip, DeviceUse, language_names
from speechkit.engines.registry import Engine
from speechkit.errors import EngineFailed
from speechkit.io.audio import Audio
from speechkit.io.model_files import nearby
from speechkit.records import Division, Record, Utterance
from speechkit.runtime.batching import EQUAL
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio
from speechkit.runtime.worker_plan import (
    WINDOW_SECONDS,
    Hardware,
    batch_sizes,
    part_seconds,
    plan_workers,
)
from speechkit.stages.asr import judge
from speechkit.stages.asr.part_results import OutputDetail, joined, part_result
from speechkit.stages.asr.recognition import Attempt, Recognition
from speechkit.stages.asr.recording_parts import (
    PartAudio,
    RecordingFacts,
    beginning,
    divided,
    expected_parts,
    given_speech,
    load_part,
    turns,
    whole,
    with_language,
)
from speechkit.stages.engine_values import configured, require_taken

ATTEMPTS = 2  # further attempts at speech without words


@dataclass(frozen=True, slots=True, kw_only=True)
class AsrOptions:
    """Options of the asr stage.

    ``words``, ``chars``: whether the output has their times. ``engine_options``: the options set
    among those of the engine's `EngineOptions`.
    """

    engine: str = registry.default("asr")
    model: str | None = None
    words: bool = False
    chars: bool = False
    channel: int | None = None
    track: str | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def languages_change(self) -> bool:
        return EACH in language_names(self.engine_options.get("language"))


@dataclass(slots=True)
class AsrProcessor(Processor):
    """`Processor` of the asr stage. ``model_copies``: as in `Hardware`.

    ``part_seconds``: the longest part of a recording that is `divided`.
    """

    options: AsrOptions
    engine: Engine
    one_by_one: bool
    part_seconds: float
    model_copies: Path | None = None
    _engine: AsrEngine = field(init=False)

    def open(self) -> None:
        judge.build()
        self._engine = self.build()

    def build(self) -> AsrEngine:
        """The engine alone."""
        engine = self.engine
        if engine.info.weights:
            model = nearby(Path(engine.value("model")), self.model_copies)
            engine = engine.with_values(model=str(model))
        built: AsrEngine = engine.build()
        if AsrEngine not in type(built).__mro__:
            raise EngineFailed(f"--engine {engine.info.name}: doesn't inherit from AsrEngine")
        return built

    def load(self, utterance: Utterance) -> Loaded:
        if utterance.part:
            part = load_part(utterance, utterance.part, self.options.track)
            return Loaded(utterance, part, utterance.part.seconds)
        loaded = load_audio(utterance, self.options.channel, self.options.track)
        if divided(loaded.data, self.part_seconds):
            return loaded
        return replace(loaded, data=whole(utterance, loaded.data))

    def divide(self, loaded: Loaded) -> Division | None:
        recording = loaded.data
        if isinstance(recording, PartAudio):
            return None
        division = divided(recording, self.part_seconds)
        if division is None or self.options.languages_change:
            return division
        clips = self._clips(loaded.utterance, recording)
        return with_language(division, self._engine.language(clips))

    def expected_parts(self, seconds: float) -> int:
        return expected_parts(seconds, self.part_seconds)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        recognitions = [self._recognition(loaded.utterance, loaded.data) for loaded in batch]
        apart = self.options.languages_change
        self._recognise(recognitions, [r.windows(self._engine, apart=apart) for r in recognitions])
        for _ in range(ATTEMPTS):
            holes = [recognition.holes(self._engine.max_window) for recognition in recognitions]
            if not any(holes):
                break
            self._recognise(recognitions, holes)
        for loaded, recognition in zip(batch, recognitions, strict=True):
            result = part_result(recognition, loaded.data.start, self._detail)
            is_part = loaded.utterance.part is not None
            yield [result if is_part else joined(loaded.utterance, loaded.data.known, [result])]

    def join(
        self, utterance: Utterance, division: Division, results: Sequence[Record]
    ) -> list[Record]:
        return [joined(utterance, RecordingFacts.of_division(division), results)]

    def device_use(self) -> DeviceUse | None:
        return self._engine.device_use()

    def weight(self, seconds: float) -> float:
        short = self._engine.short_window
        return short if seconds <= short else max(seconds, self._engine.least_window)

    @property
    def _detail(self) -> OutputDetail:
        options = self.options
        return OutputDetail(options.words, options.chars, options.languages_change)

    def _clips(self, utterance: Utterance, recording: Audio) -> Iterator[Clip]:
        """The clips of a recording's beginning, which tell its language."""
        recognition = self._recognition(utterance, beginning(utterance, recording))
        for attempt in recognition.windows(self._engine):
            yield recognition.clip(attempt)

    def _recognition(self, utterance: Utterance, part: PartAudio) -> Recognition:
        """Begin a transcription.

        Without speech from an earlier stage, everything is decoded, and the judge tells which
        stretches must give words.
        """
        return Recognition(
            part.waveform,
            given_speech(utterance, part.start),
            part.judged,
            part.known.language,
            turns(utterance, part.start),
        )

    def _recognise(
        self, recognitions: Sequence[Recognition], attempts: Sequence[Sequence[Attempt]]
    ) -> None:
        self._decode(recognitions, attempts)
        turns = [recognition.turns(self._engine.max_window) for recognition in recognitions]
        if any(turns):
            self._decode(recognitions, turns)

    def _decode(
        self, recognitions: Sequence[Recognition], attempts: Sequence[Sequence[Attempt]]
    ) -> None:
        clips = (
            [recognition.clip(attempt) for attempt in row]
            for recognition, row in zip(recognitions, attempts, strict=True)
        )
        heard = self._engine.transcribe(clips)
        for recognition, row, hypotheses in zip(recognitions, attempts, heard, strict=True):
            for attempt, hypothesis in zip(row, hypotheses, strict=True):
                recognition.take(attempt, hypothesis)


def asr_stage(options: AsrOptions, hardware: Hardware | None = None) -> Stage:
    """Return the asr stage.

    Raises `UsageError` for options that the engine lacks, `EngineMissing` without its model.
    """
    info = registry.find("asr", options.engine)
    hardware = hardware or Hardware()
    given = dict(options.engine_options)
    require_taken(info, given | ({"chars": True} if options.chars else {}), options.model, hardware)
    registry.require_installed(info)
    folder = None
    if info.weights:
        options = replace(options, model=options.model or info.model)
        folder = model_catalogue.locate(info, options.model or "", offline=hardware.offline)
    model = str(folder) if folder else options.model
    engine = configured(info, given, model, hardware, words=options.words, chars=options.chars)
    sizes = batch_sizes(info, hardware)
    return Stage(
        name="asr",
        processor=AsrProcessor(
            options,
            engine,
            one_by_one=not info.batched,
            part_seconds=part_seconds(info, hardware),
            model_copies=hardware.model_copies,
        ),
        batch_audio=info.batch_audio or sizes.most * WINDOW_SECONDS,
        options=_pinned(info, options),
        packages=info.packages,
        result_keys=("pred_text", "segments"),
        error_keys={"pred_text": ""},
        batch_sizes=sizes if info.batched else EQUAL,
        worker_plan=plan_workers(info, hardware, folder),
        stalls=info.stalls,
        scratch=Path(tempfile.gettempdir()) if info.temporary else None,
    )


def _pinned(info: EngineInfo, options: AsrOptions) -> dict[str, Any]:
    """The options that a resumed run must share."""
    pinned = asdict(options)
    del pinned["engine_options"]
    return {**pinned, "decoding": registry.pinned(info, options.engine_options)}
