"""Speech recognition: utterances to transcripts with times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine
from speechkit.pipelines.running.task import Loaded, Stage, load_audio
from speechkit.pipelines.windows import cut, speech_windows
from speechkit.records import Hypothesis, Record, Utterance


@dataclass(frozen=True, slots=True)
class AsrOptions:
    """``words``: word times and confidences in the output."""

    engine: str
    model: str | None = None
    words: bool = False
    channel: int | None = None


@dataclass(slots=True)
class AsrTask:
    """`task.Task` of the asr stage."""

    options: AsrOptions
    one_by_one: bool
    _engine: AsrEngine = field(init=False)

    def open(self) -> None:
        self._engine = registry.create("asr", self.options.engine, model=self.options.model)

    def load(self, utterance: Utterance) -> Loaded:
        return load_audio(utterance, SAMPLE_RATE, self.options.channel)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        for loaded in batch:
            windows = self._windows(loaded)
            waveforms = [
                loaded.data[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
                for start, end in windows
            ]
            hypotheses = self._engine.transcribe(waveforms)
            yield [self._line(loaded, list(zip(windows, hypotheses, strict=True)))]

    def _windows(self, loaded: Loaded) -> list[tuple[float, float]]:
        """In seconds from the utterance's beginning: its speech where known, else all of it."""
        longest = self._engine.max_window
        segments = loaded.utterance.record.get("segments")
        if segments is None:
            windows = [(0.0, loaded.seconds)]
        else:
            offset = loaded.utterance.offset
            inside = [(one["start"] - offset, one["end"] - offset) for one in segments]
            windows = speech_windows(inside, loaded.seconds, longest)
        return [
            piece for window in windows for piece in cut(loaded.data, SAMPLE_RATE, window, longest)
        ]

    def _line(
        self, loaded: Loaded, heard: Sequence[tuple[tuple[float, float], Hypothesis]]
    ) -> Record:
        heard = [(window, hypothesis) for window, hypothesis in heard if hypothesis.text]
        offset = loaded.utterance.offset
        record = {
            **loaded.utterance.record,
            "duration": loaded.utterance.duration or loaded.seconds,
            "pred_text": " ".join(hypothesis.text for _, hypothesis in heard),
            "segments": [
                self._segment(offset + start, offset + end, hypothesis)
                for (start, end), hypothesis in heard
            ],
        }
        languages = {hypothesis.language for _, hypothesis in heard if hypothesis.language}
        if len(languages) == 1:
            record.setdefault("lang", languages.pop())
        return record

    def _segment(self, start: float, end: float, hypothesis: Hypothesis) -> dict[str, Any]:
        segment: dict[str, Any] = {
            "start": round(start, 3),
            "end": round(end, 3),
            "text": hypothesis.text,
        }
        if hypothesis.confidence is not None:
            segment["confidence"] = hypothesis.confidence
        if self.options.words:
            segment["words"] = [
                {
                    "word": word.text,
                    "start": round(start + word.start, 3),
                    "end": round(start + word.end, 3),
                    **({} if word.confidence is None else {"confidence": word.confidence}),
                }
                for word in hypothesis.words
            ]
        return segment


def asr_stage(options: AsrOptions) -> Stage:
    info = registry.find("asr", options.engine)
    return Stage(
        name="asr",
        task=AsrTask(options, one_by_one=not info.batched),
        batch_audio=info.batch_audio,
        options=asdict(options),
        packages=info.packages,
        error_keys={"pred_text": ""},
    )
