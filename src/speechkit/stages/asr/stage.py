"""Speech recognition: utterances to transcripts with times."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from speechkit import keys
from speechkit.engines import model_catalogue, registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import (
    EACH,
    AsrEngine,
    DeviceUse,
    VadEngine,
    language_names,
)
from speechkit.engines.registry import Engine
from speechkit.io.model_files import nearby
from speechkit.records import Record, Segment, Utterance, Word
from speechkit.runtime.batching import EQUAL
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio
from speechkit.runtime.worker_plan import WINDOW_SECONDS, Hardware, batch_sizes, plan_workers
from speechkit.stages.asr.recognition import Attempt, Recognition
from speechkit.stages.asr.recording_parts import Parts
from speechkit.stages.asr.speaker_turns import NO_TURNS, Turn, Turns
from speechkit.stages.asr.windows import Span
from speechkit.stages.vad.segmentation import DEFAULTS, speech_segments

ATTEMPTS = 2  # further attempts at speech without words
JUDGE = "silero"  # VAD that checks transcripts, in less than 1 % of the time of recognition


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
    """`Processor` of the asr stage. ``model_copies``: as in `Hardware`."""

    options: AsrOptions
    engine: Engine
    one_by_one: bool
    model_copies: Path | None = None
    _engine: AsrEngine = field(init=False)
    _judge: VadEngine = field(init=False)

    def open(self) -> None:
        engine = self.engine
        if engine.info.weights:
            model = nearby(Path(engine.value("model")), self.model_copies)
            engine = engine.with_values(model=str(model))
        self._engine = engine.build()
        self._judge = registry.create("vad", JUDGE)

    def load(self, utterance: Utterance) -> Loaded:
        return load_audio(utterance, self.options.channel, self.options.track)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        apart = self.options.languages_change
        recordings = [
            Parts(loaded.data, _given_speech(loaded), _turns(loaded), apart=apart)
            for loaded in batch
        ]
        while unfinished := [parts for parts in recordings if parts.advance()]:
            recognitions = self._recognitions(unfinished)
            windows = [each.windows(self._engine, apart=apart) for each in recognitions]
            self._recognise(recognitions, windows)
            for _ in range(ATTEMPTS):
                holes = [recognition.holes(self._engine.max_window) for recognition in recognitions]
                if not any(holes):
                    break
                self._recognise(recognitions, holes)
            for parts, recognition in zip(unfinished, recognitions, strict=True):
                parts.keep(recognition)
        for loaded, parts in zip(batch, recordings, strict=True):
            yield [self._record(loaded, parts)]

    def device_use(self) -> DeviceUse | None:
        return self._engine.device_use()

    def weight(self, seconds: float) -> float:
        return max(seconds, self._engine.least_window)

    def _recognitions(self, recordings: Sequence[Parts]) -> list[Recognition]:
        """Begin the next part of each recording.

        Without speech from an earlier stage, everything is decoded, and the judge tells which
        stretches must give words.
        """
        probabilities = self._judge.probabilities([parts.raised for parts in recordings])
        return [
            parts.begin(speech_segments(frames, self._judge.hop, parts.seconds, DEFAULTS[JUDGE]))
            for parts, frames in zip(recordings, probabilities, strict=True)
        ]

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

    def _record(self, loaded: Loaded, parts: Parts) -> Record:
        offset = loaded.utterance.offset
        segments = [
            (part.start + offset, segment) for part in parts.heard for segment in part.segments
        ]
        gaps = _gaps(parts, offset)
        results: Record = {
            "duration": loaded.utterance.duration or loaded.seconds,
            "pred_text": " ".join(part.text for part in parts.heard if part.text),
            "segments": [self._segment(segment, start) for start, segment in segments],
        }
        if parts.language:
            results["lang"] = parts.language
        if gaps:
            results["gaps"] = gaps
        flags = {"low_coverage"} if gaps else set()
        flags.update(loaded.data.flags, *(segment.flags for _, segment in segments))
        return keys.with_results(loaded.utterance.record, "asr", results, flags)

    def _segment(self, segment: Segment, offset: float) -> dict[str, Any]:
        out: dict[str, Any] = {
            **_times(segment.start, segment.end, offset),
            **segment.extra,
            "text": segment.text,
        }
        if segment.confidence is not None:
            out["confidence"] = segment.confidence
        if segment.flags:
            out["flags"] = list(segment.flags)
        if self.options.languages_change and segment.language:
            out["lang"] = segment.language
        if self.options.words:
            out["words"] = [_word("word", word, offset) for word in segment.words]
        if self.options.chars:
            chars = (char for word in segment.words for char in word.chars)
            out["chars"] = [_word("char", char, offset) for char in chars]
        return out


def _word(key: str, word: Word, offset: float) -> dict[str, Any]:
    sure = {} if word.confidence is None else {"confidence": word.confidence}
    return {key: word.text, **_times(word.start, word.end, offset), **sure}


def _times(start: float, end: float, offset: float) -> dict[str, float]:
    """Times of the utterance as keys, in seconds of the file."""
    return {"start": round(offset + start, 3), "end": round(offset + max(start, end), 3)}


def _gaps(parts: Parts, offset: float) -> list[dict[str, float]]:
    return [_times(*gap, part.start + offset) for part in parts.heard for gap in part.gaps]


def _given_speech(loaded: Loaded) -> list[Span] | None:
    """The segments of an earlier stage, in seconds of the utterance; None without any."""
    segments = loaded.utterance.record.get("segments")
    if segments is None:
        return None
    offset = loaded.utterance.offset
    return [(segment["start"] - offset, segment["end"] - offset) for segment in segments]


def _turns(loaded: Loaded) -> Turns:
    """The segments of an earlier stage as turns, if any has keys to carry over."""
    segments = loaded.utterance.record.get("segments") or ()
    extras = [keys.carried_over(segment) for segment in segments]
    if not any(extras):
        return NO_TURNS
    offset = loaded.utterance.offset
    return Turns(
        Turn(segment["start"] - offset, segment["end"] - offset, extra)
        for segment, extra in zip(segments, extras, strict=True)
    )


def asr_stage(options: AsrOptions, hardware: Hardware | None = None) -> Stage:
    """Return the asr stage.

    Raises `UsageError` for options that the engine lacks, `EngineMissing` without its model.
    """
    info = registry.find("asr", options.engine)
    hardware = hardware or Hardware()
    _require_taken(info, options, hardware)
    registry.require_installed(info)
    folder = None
    if info.weights:
        options = replace(options, model=options.model or info.model)
        folder = model_catalogue.locate(info, options.model or "", offline=hardware.offline)
    engine = _engine(info, options, hardware, folder)
    sizes = batch_sizes(info, hardware)
    return Stage(
        name="asr",
        processor=AsrProcessor(options, engine, not info.batched, hardware.model_copies),
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


def _engine(
    info: EngineInfo, options: AsrOptions, hardware: Hardware, model: Path | None
) -> Engine:
    values: dict[str, Any] = {
        "model": str(model) if model else options.model,
        "device": hardware.device,
        "batch_size": hardware.batch_size,
        "words": options.words,
        "chars": options.chars,
    }
    known = {name: value for name, value in values.items() if info.takes(name)}
    return registry.configure(info, {**known, **options.engine_options})


def _pinned(info: EngineInfo, options: AsrOptions) -> dict[str, Any]:
    """The options that a resumed run must share."""
    pinned = asdict(options)
    del pinned["engine_options"]
    return {**pinned, "decoding": registry.pinned(info, options.engine_options)}


def _require_taken(info: EngineInfo, options: AsrOptions, hardware: Hardware) -> None:
    values = dict(options.engine_options)
    values |= {"model": options.model} if options.model else {}
    values |= {"chars": True} if options.chars else {}
    values |= {"device": hardware.device} if hardware.device not in ("auto", "cpu") else {}
    values |= {"batch_size": hardware.batch_size} if hardware.batch_size else {}
    registry.require_taken(info, values)
