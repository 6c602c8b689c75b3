"""Speech recognition: utterances to transcripts with times."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from speechkit import keys
from speechkit.engines import catalogue, registry
from speechkit.engines.protocols import (
    EACH,
    AsrEngine,
    DeviceUse,
    VadEngine,
    language_names,
)
from speechkit.engines.registry import EngineInfo
from speechkit.errors import UsageError
from speechkit.io.models import nearby
from speechkit.records import Record, Segment, Utterance, Word
from speechkit.runtime.batching import MOST
from speechkit.runtime.placement import WINDOW_SECONDS, Hardware, batch_windows, place
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio
from speechkit.stages.asr.listening import Attempt, Listening
from speechkit.stages.asr.parts import Parts
from speechkit.stages.asr.turns import NO_TURNS, Turn, Turns
from speechkit.stages.asr.windows import Span
from speechkit.stages.vad.segmentation import DEFAULTS, speech_segments

ATTEMPTS = 2  # at speech that no words were heard in, beside the first
JUDGE = "silero"  # tells where speech is, for less than a hundredth of what recognising it takes


@dataclass(frozen=True, slots=True)
class AsrOptions:
    """``words``, ``chars``: their times in the output. ``decoding``: the engine's own."""

    engine: str
    model: str | None = None
    words: bool = False
    chars: bool = False
    channel: int | None = None
    track: str | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)

    @property
    def languages_change(self) -> bool:
        return EACH in language_names(self.decoding.get("language"))


@dataclass(slots=True)
class AsrProcessor(Processor):
    """`Processor` of the asr stage. ``device``: the engine's options that no run is pinned to.
    ``local``: where copies of models are wanted, as in `Hardware`."""

    options: AsrOptions
    device: Mapping[str, Any]
    one_by_one: bool
    local: Path | None = None
    _engine: AsrEngine = field(init=False)
    _judge: VadEngine = field(init=False)

    def open(self) -> None:
        own = {**self.options.decoding, **self.device}
        can = registry.find("asr", self.options.engine).options
        wanted = {"words": self.options.words, "chars": self.options.chars}
        own |= {name: True for name, is_wanted in wanted.items() if is_wanted and name in can}
        model = self.options.model
        if model and registry.find("asr", self.options.engine).hub:
            model = str(nearby(Path(model), self.local))
        self._engine = registry.create("asr", self.options.engine, model=model, **own)
        self._judge = registry.create("vad", JUDGE)

    def load(self, utterance: Utterance) -> Loaded:
        return load_audio(utterance, self.options.channel, self.options.track)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        apart = self.options.languages_change
        recordings = [
            Parts(loaded.data, _told_speech(loaded), _turns(loaded), apart=apart)
            for loaded in batch
        ]
        while going := [parts for parts in recordings if parts.advance()]:
            listenings = self._listenings(going)
            windows = [listening.windows(self._engine, apart=apart) for listening in listenings]
            self._listen(listenings, windows)
            for _ in range(ATTEMPTS):
                holes = [listening.holes(self._engine.max_window) for listening in listenings]
                if not any(holes):
                    break
                self._listen(listenings, holes)
            for parts, listening in zip(going, listenings, strict=True):
                parts.keep(listening)
        for loaded, parts in zip(batch, recordings, strict=True):
            yield [self._line(loaded, parts)]

    def device_use(self) -> DeviceUse | None:
        return self._engine.device_use()

    def weight(self, seconds: float) -> float:
        return max(seconds, self._engine.least_window)

    def _listenings(self, recordings: Sequence[Parts]) -> list[Listening]:
        """Where an earlier stage hasn't said where speech is, all is decoded; the judge then says
        what of it must come out as words."""
        probabilities = self._judge.probabilities([parts.raised for parts in recordings])
        return [
            parts.begin(speech_segments(frames, self._judge.hop, parts.seconds, DEFAULTS[JUDGE]))
            for parts, frames in zip(recordings, probabilities, strict=True)
        ]

    def _listen(
        self, listenings: Sequence[Listening], attempts: Sequence[Sequence[Attempt]]
    ) -> None:
        self._decode(listenings, attempts)
        turns = [listening.turns(self._engine.max_window) for listening in listenings]
        if any(turns):
            self._decode(listenings, turns)

    def _decode(
        self, listenings: Sequence[Listening], attempts: Sequence[Sequence[Attempt]]
    ) -> None:
        clips = (
            [listening.clip(attempt) for attempt in its_attempts]
            for listening, its_attempts in zip(listenings, attempts, strict=True)
        )
        heard = self._engine.transcribe(clips)
        for listening, its_attempts, hypotheses in zip(listenings, attempts, heard, strict=True):
            for attempt, hypothesis in zip(its_attempts, hypotheses, strict=True):
                listening.take(attempt, hypothesis)

    def _line(self, loaded: Loaded, parts: Parts) -> Record:
        offset = loaded.utterance.offset
        heard = parts.heard
        segments = [(part.start + offset, segment) for part in heard for segment in part.segments]
        gaps = [(part.start + offset, gap) for part in heard for gap in part.gaps]
        results: Record = {
            "duration": loaded.utterance.duration or loaded.seconds,
            "pred_text": " ".join(part.text for part in heard if part.text),
            "segments": [self._segment(segment, start) for start, segment in segments],
        }
        if parts.language:
            results["lang"] = parts.language
        flags = {flag for _, segment in segments for flag in segment.flags}
        if gaps:
            results["gaps"] = [_times(*gap, start) for start, gap in gaps]
            flags.add("low_coverage")
        flags.update(loaded.data.flags)
        return keys.renewed(loaded.utterance.record, "asr", results, flags)

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
    """Of the utterance, in the file's seconds."""
    return {"start": round(offset + start, 3), "end": round(offset + max(start, end), 3)}


def _told_speech(loaded: Loaded) -> list[Span] | None:
    """The speech that an earlier stage has found, in seconds of the utterance."""
    segments = loaded.utterance.record.get("segments")
    if segments is None:
        return None
    offset = loaded.utterance.offset
    return [(segment["start"] - offset, segment["end"] - offset) for segment in segments]


def _turns(loaded: Loaded) -> Turns:
    """The segments of an earlier stage, where any of them carries a key of its own."""
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
    """Raises `UsageError` for options that the engine lacks, `EngineMissing` without its model."""
    info = registry.find("asr", options.engine)
    hardware = hardware or Hardware()
    _require_known(info, options, hardware)
    registry.require_installed(info)
    located = options
    folder = None
    if info.hub:
        model = options.model or info.model
        options = replace(options, model=model)
        folder = catalogue.locate(info, model, offline=hardware.offline)
        located = replace(options, model=str(folder))
    device = {"device": hardware.device, "batch_size": hardware.batch_size} if info.hub else {}
    device |= hardware.more
    windows = batch_windows(info, hardware)
    return Stage(
        name="asr",
        processor=AsrProcessor(located, device, not info.batched, hardware.local),
        batch_audio=info.batch_audio or windows * WINDOW_SECONDS,
        options={**asdict(options), "decoding": dict(options.decoding)},
        packages=info.packages,
        result_keys=("pred_text", "segments"),
        error_keys={"pred_text": ""},
        batch_utterances=windows if info.batched else MOST,
        placement=place(info, hardware, folder),
        stalls=info.stalls,
        scratch=Path(tempfile.gettempdir()) if info.temporary else None,
    )


def _require_known(info: EngineInfo, options: AsrOptions, hardware: Hardware) -> None:
    given = [*options.decoding, *hardware.more]
    given += ["chars"] if options.chars else []
    given += ["device"] if hardware.device not in ("auto", "cpu") else []
    given += ["batch_size"] if hardware.batch_size else []
    unknown = [name for name in given if name not in info.options]
    if unknown:
        given_as = {"cuda_graphs": "no_cuda_graphs"}
        if options.decoding.get("timestamps") is False:
            given_as["timestamps"] = "no_timestamps"
        named = [given_as.get(name, name) for name in unknown]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in named)
        having = [
            one.name
            for one in registry.ENGINES
            if one.stage == "asr" and set(unknown) <= set(one.options)
        ]
        others = f"; for {', '.join(having)}" if having else ""
        raise UsageError(f"{flags}: not for the engine {info.name}{others}")
