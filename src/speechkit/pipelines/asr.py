"""Speech recognition: utterances to transcripts with times."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from speechkit.engines import catalogue, registry
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, DeviceUse
from speechkit.engines.registry import EngineInfo
from speechkit.errors import UsageError
from speechkit.io.models import nearby
from speechkit.pipelines.placement import WINDOW_SECONDS, Hardware, batch_windows, place
from speechkit.pipelines.running.batching import MOST
from speechkit.pipelines.running.task import Loaded, Stage, Task, load_audio
from speechkit.pipelines.windows import (
    Window,
    cut,
    overlap,
    packed,
    speech_windows,
    united,
    within_speech,
)
from speechkit.records import Hypothesis, Record, Segment, Utterance, Word

LOW_COVERAGE = 0.5  # of the speech found must lie in a segment with text
LOW_COVERAGE_SPEECH = 1.0  # seconds of speech, below which nothing is said of coverage


@dataclass(frozen=True, slots=True)
class AsrOptions:
    """``words``, ``chars``: their times in the output. ``decoding``: the engine's own."""

    engine: str
    model: str | None = None
    words: bool = False
    chars: bool = False
    channel: int | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class AsrTask(Task):
    """`task.Task` of the asr stage. ``device``: the engine's options that change no result.
    ``local``: where copies of models are wanted, as in `Hardware`."""

    options: AsrOptions
    device: Mapping[str, Any]
    one_by_one: bool
    local: Path | None = None
    _engine: AsrEngine = field(init=False)

    def open(self) -> None:
        own = {**self.options.decoding, **self.device}
        can = registry.find("asr", self.options.engine).options
        wanted = {"words": self.options.words, "chars": self.options.chars}
        own |= {name: True for name, is_wanted in wanted.items() if is_wanted and name in can}
        model = self.options.model
        if model and registry.find("asr", self.options.engine).hub:
            model = str(nearby(Path(model), self.local))
        self._engine = registry.create("asr", self.options.engine, model=model, **own)

    def load(self, utterance: Utterance) -> Loaded:
        return load_audio(utterance, SAMPLE_RATE, self.options.channel)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        windows = [self._windows(loaded) for loaded in batch]
        waveforms = (
            [window.cut_from(loaded.data, SAMPLE_RATE) for window in own]
            for loaded, own in zip(batch, windows, strict=True)
        )
        heard = self._engine.transcribe(waveforms)
        for loaded, own, hypotheses in zip(batch, windows, heard, strict=True):
            yield [self._line(loaded, list(zip(own, hypotheses, strict=True)))]

    def device_use(self) -> DeviceUse | None:
        return self._engine.device_use()

    def weight(self, seconds: float) -> float:
        return max(seconds, self._engine.least_window)

    def _windows(self, loaded: Loaded) -> list[Window]:
        """Its speech where known, else all of it."""
        longest = self._engine.max_window
        speech = _speech(loaded)
        if speech is None:
            if self._engine.long_form:
                return [Window(((0.0, loaded.seconds),))]
            windows = [(0.0, loaded.seconds)]
        else:
            windows = speech_windows(speech, loaded.seconds, longest)
        pieces = [
            piece for window in windows for piece in cut(loaded.data, SAMPLE_RATE, window, longest)
        ]
        if self._engine.long_form:
            return packed(pieces, longest)
        return [Window((piece,)) for piece in pieces]

    def _line(self, loaded: Loaded, heard: Sequence[tuple[Window, Hypothesis]]) -> Record:
        speech = _speech(loaded) or []
        segments = [
            self._segment(_Place(window, speech, loaded.utterance.offset), segment)
            for window, hypothesis in heard
            for segment in hypothesis.segments
        ]
        record = {
            **loaded.utterance.record,
            "duration": loaded.utterance.duration or loaded.seconds,
            "pred_text": " ".join(segment["text"] for segment in segments),
            "segments": segments,
        }
        languages = [hypothesis.language for _, hypothesis in heard if hypothesis.language]
        if languages:
            record["lang"] = max(languages, key=languages.count)
        flags = {flag for _, hypothesis in heard for flag in hypothesis.flags}
        if _cover_little(_spans(segments, loaded), speech):
            flags.add("low_coverage")
        record.pop("flags", None)  # of an earlier run
        if flags:
            record["flags"] = sorted(flags)
        return record

    def _segment(self, place: _Place, segment: Segment) -> dict[str, Any]:
        out: dict[str, Any] = {
            **place.times(*place.window.place(segment.start, segment.end)),
            "text": segment.text,
        }
        if segment.confidence is not None:
            out["confidence"] = segment.confidence
        if self.options.words:
            out["words"] = [place.word("word", word) for word in segment.words]
        if self.options.chars:
            out["chars"] = [place.word("char", char) for char in segment.chars]
        return out


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a window lies: ``speech`` in its utterance's seconds, ``offset`` in its file's."""

    window: Window
    speech: Sequence[tuple[float, float]]
    offset: float

    def times(self, start: float, end: float) -> dict[str, float]:
        """In the file's seconds, without the silence that a decoder takes in beside speech."""
        start, end = within_speech(start, end, self.speech)
        return {"start": round(self.offset + start, 3), "end": round(self.offset + end, 3)}

    def word(self, key: str, word: Word) -> dict[str, Any]:
        times = self.times(*self.window.place_word(word.start, word.end))
        sure = {} if word.confidence is None else {"confidence": word.confidence}
        return {key: word.text, **times, **sure}


Spans = list[tuple[float, float]]


def _speech(loaded: Loaded) -> Spans | None:
    """The speech that an earlier stage has found."""
    segments = loaded.utterance.record.get("segments")
    return None if segments is None else _spans(segments, loaded)


def _spans(segments: Sequence[Mapping[str, Any]], loaded: Loaded) -> Spans:
    """Where segments lie, in seconds from the utterance's beginning."""
    offset = loaded.utterance.offset
    times = ((one["start"] - offset, one["end"] - offset) for one in segments)
    return united(times, loaded.seconds)


def _cover_little(said: Spans, speech: Spans) -> bool:
    """Whether much less is transcribed than was said."""
    spoken = sum(end - start for start, end in speech)
    return spoken >= LOW_COVERAGE_SPEECH and overlap(speech, said) < LOW_COVERAGE * spoken


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
    windows = batch_windows(hardware.device, hardware.batch_size)
    return Stage(
        name="asr",
        task=AsrTask(located, device, not info.batched, hardware.local),
        batch_audio=info.batch_audio or windows * WINDOW_SECONDS,
        options={**asdict(options), "decoding": dict(options.decoding)},
        packages=info.packages,
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
        switched_off = ("timestamps", "cuda_graphs")
        named = [f"no_{name}" if name in switched_off else name for name in unknown]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in named)
        having = [
            one.name
            for one in registry.ENGINES
            if one.stage == "asr" and set(unknown) <= set(one.options)
        ]
        others = f"; for {', '.join(having)}" if having else ""
        raise UsageError(f"{flags}: not for the engine {info.name}{others}")
