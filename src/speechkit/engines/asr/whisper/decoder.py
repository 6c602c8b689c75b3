"""Whisper over a runtime: windows in batches, doubtful ones again, tokens to times.

A result does not depend on the windows that shared its batch, but for the last bits of floats:
what is sampled is decoded alone, with random numbers of its own (as far as the runtime allows).
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from speechkit.engines.ahead import ahead
from speechkit.engines.asr.whisper import transcript
from speechkit.engines.asr.whisper.backend import Alignment, Backend, Draft
from speechkit.engines.batch_size import BatchSize
from speechkit.engines.protocols import SAMPLE_RATE, DeviceUse
from speechkit.errors import UsageError
from speechkit.records import Hypothesis, Segment, Word

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

SILENCE = 3e-4  # peak amplitude (-70 dBFS) below which nothing can have been said
SLACK = 0.01  # seconds above the chunk that rounding adds to a packed window
FEWEST_SAMPLES = 400  # one analysis window of 25 ms
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class WhisperOptions:
    """``language`` None: detected in each utterance's first window. ``words``: with word times.
    ``batch_size`` 0: from the device's free memory."""

    language: str | None = None
    task: str = "transcribe"
    temperature: tuple[float, ...] = TEMPERATURES
    initial_prompt: str | None = None
    hotwords: str | None = None
    timestamps: bool = True
    words: bool = False
    batch_size: int = 0


@dataclass(slots=True)
class _Spoken:
    """What is known of an utterance: its language, once a window of it is decoded."""

    language: str | None


@dataclass(frozen=True, slots=True)
class _Job:
    """A window to decode; ``last`` of its utterance."""

    waveform: Waveform
    utterance: _Spoken
    silent: bool
    last: bool = True

    @property
    def seconds(self) -> float:
        return len(self.waveform) / SAMPLE_RATE


class Whisper:
    """An AsrEngine over a `Backend`."""

    long_form = True

    def __init__(self, backend: Backend, options: WhisperOptions) -> None:
        self._backend = backend
        self._options = options
        self._vocabulary = backend.vocabulary
        self._fixed = self._vocabulary.language(options.language) if options.language else None
        if self._fixed is None and self._vocabulary.languages and not backend.detects:
            raise UsageError("this model can't tell the language: give it with --language")
        self._context = self._previous_text()
        self._batch = BatchSize(
            options.batch_size or backend.batch_size(), backend.out_of_memory, backend.free_memory
        )
        self._seconds = 0.0
        self.max_window = self.least_window = backend.chunk

    def device_use(self) -> DeviceUse:
        return DeviceUse(
            self._backend.device, self._backend.compute_type, self._batch.size, self._seconds
        )

    def transcribe(self, utterances: Iterable[Sequence[Waveform]]) -> Iterator[list[Hypothesis]]:
        done: list[Hypothesis] = []
        groups = ((group, self._features(group)) for group in self._groups(utterances))
        for jobs, features in ahead(groups):
            for job, hypothesis in zip(jobs, self._group(jobs, features), strict=True):
                if job is not None:
                    done.append(hypothesis)
                if job is None or job.last:
                    yield done
                    done = []

    def _groups(self, utterances: Iterable[Sequence[Waveform]]) -> Iterator[list[_Job | None]]:
        """The windows, as many as a batch holds; None for an utterance without any."""
        group: list[_Job | None] = []
        for windows in utterances:
            utterance = _Spoken(self._fixed)
            jobs: list[_Job | None] = [
                _Job(window, utterance, _silent(window), last=index + 1 == len(windows))
                for index, window in enumerate(windows)
            ]
            for job in jobs or [None]:
                group.append(job)
                if len(group) >= self._batch.size:
                    yield group
                    group = []
        if group:
            yield group

    def _features(self, jobs: Sequence[_Job | None]) -> Any:
        """Of the windows that are decoded together."""
        heard = [self._chunk(job.waveform) for job in jobs if self._in_batch(job)]
        return self._backend.features(heard) if heard else None

    def _in_batch(self, job: _Job | None) -> TypeGuard[_Job]:
        return job is not None and not job.silent and not self._is_long(job)

    def _is_long(self, job: _Job) -> bool:
        return job.seconds > self._backend.chunk + SLACK

    def _chunk(self, waveform: Waveform) -> Waveform:
        return waveform[: round(self._backend.chunk * SAMPLE_RATE)]

    def _group(self, jobs: Sequence[_Job | None], features: Any) -> list[Hypothesis]:
        began = time.monotonic()
        heard = [job for job in jobs if self._in_batch(job)]
        texts = iter(self._decode(heard, features) if heard else [])
        found: list[Hypothesis] = []
        for job in jobs:
            if self._in_batch(job):
                found.append(next(texts).hypothesis)
            elif job is None or job.silent:
                found.append(Hypothesis())
            else:
                found.append(self._sequential(job))
        self._seconds += time.monotonic() - began
        return found

    def _decode(self, jobs: Sequence[_Job], features: Any) -> list[_Heard]:
        numbered = range(len(jobs))
        return self._batch.run(
            numbered, lambda part: self._decode_part([jobs[i] for i in part], features[list(part)])
        )

    def _decode_part(self, jobs: Sequence[_Job], features: Any) -> list[_Heard]:
        encoded = self._backend.encode(features)
        languages = self._languages(jobs, encoded)
        prompts = [self._prompt(language) for language in languages]
        first, *others = self._options.temperature
        if first > 0:
            drafts = [
                self._alone(job, features[[row]], prompt, [first, *others])
                for row, (job, prompt) in enumerate(zip(jobs, prompts, strict=True))
            ]
        else:
            drafts = self._backend.decode(encoded, prompts, first, seed=0)
            for row, draft in enumerate(drafts):
                if others and self._doubtful(draft):
                    drafts[row] = self._alone(jobs[row], features[[row]], prompts[row], others)
        seconds = [min(job.seconds, self._backend.chunk) for job in jobs]
        heard = [
            self._heard(draft, language, length)
            for draft, language, length in zip(drafts, languages, seconds, strict=True)
        ]
        return self._with_words(heard, encoded, seconds) if self._options.words else heard

    def _languages(self, jobs: Sequence[_Job], encoded: Any) -> list[str | None]:
        if not self._vocabulary.languages:
            return ["en"] * len(jobs)
        detected: list[str] = []
        if any(job.utterance.language is None for job in jobs):
            detected = self._backend.languages(encoded)
        for row, job in enumerate(jobs):
            if job.utterance.language is None:
                job.utterance.language = detected[row]
        return [job.utterance.language for job in jobs]

    def _previous_text(self) -> list[int]:
        text = " ".join(filter(None, [self._options.hotwords, self._options.initial_prompt]))
        return self._vocabulary.context(text, self._backend.longest // 2 - 1) if text else []

    def _prompt(self, language: str | None) -> list[int]:
        start = self._vocabulary.start(language, self._options.task)
        end = [] if self._options.timestamps else [self._vocabulary.no_timestamps]
        return [*self._context, *start, *end]

    def _doubtful(self, draft: Draft) -> bool:
        if _no_speech(draft):
            return False
        text = self._vocabulary.decode(draft.tokens)
        return transcript.repeats_itself(text) or draft.log_probability < transcript.LOG_PROBABILITY

    def _alone(
        self, job: _Job, features: Any, prompt: list[int], temperatures: Sequence[float]
    ) -> Draft:
        """The first draft that raises no doubt, at rising temperatures; else the last."""
        encoded = self._backend.encode(features)
        seed = zlib.crc32(job.waveform.tobytes())
        for temperature in temperatures:
            draft = self._backend.decode(encoded, [prompt], temperature, seed)[0]
            if not self._doubtful(draft):
                break
        return draft

    def _heard(self, draft: Draft, language: str | None, seconds: float) -> _Heard:
        if _no_speech(draft):
            return _Heard(Hypothesis(), [], seconds, language)
        tokens = draft.tokens
        doubts = transcript.repeats_itself(self._vocabulary.decode(tokens))
        if doubts:
            tokens = transcript.without_loops(tokens)
        found = transcript.spans(tokens, self._vocabulary, seconds)
        confidence = round(math.exp(draft.log_probability), 3)
        segments = tuple(
            Segment(
                span.start,
                span.end,
                self._vocabulary.decode(span.tokens).strip(),
                confidence=confidence,
            )
            for span in found
        )
        flags = ("hallucination",) if doubts else ()
        return _Heard(
            Hypothesis(segments, language if segments else None, flags),
            found,
            transcript.resume_at(tokens, self._vocabulary, seconds),
            language,
        )

    def _with_words(self, heard: list[_Heard], encoded: Any, seconds: list[float]) -> list[_Heard]:
        """With word times, for which all windows of a language are aligned together."""
        for language in dict.fromkeys(one.language for one in heard):
            texts = [
                [t for span in one.spans for t in span.tokens] if one.language == language else []
                for one in heard
            ]
            start = self._vocabulary.start(language, self._options.task)
            alignments = self._backend.align(encoded, start, texts, seconds)
            heard = [
                self._placed(one, alignment) if text else one
                for one, text, alignment in zip(heard, texts, alignments, strict=True)
            ]
        return heard

    def _placed(self, one: _Heard, alignment: Alignment) -> _Heard:
        """With the words, none of which leaves its segment."""
        segments: list[Segment] = []
        first = 0
        latest = 0.0
        starts, sure = alignment.starts, alignment.probabilities
        for segment, span in zip(one.hypothesis.segments, one.spans, strict=True):
            words: list[Word] = []
            for group in self._vocabulary.words(span.tokens, one.language):
                begin, first = first, first + len(group)
                text = self._vocabulary.decode(group).strip()
                if not text:
                    continue
                # A text as long as the decoder allows leaves its last tokens without a place.
                start = max(starts[min(begin, len(starts) - 1)], latest, span.start)
                start = min(start, span.end)
                latest = min(max(starts[min(first, len(starts) - 1)], start), span.end)
                confidence = float(np.mean(sure[begin:first] or [0.0]))
                words.append(Word(text, round(start, 3), round(latest, 3), round(confidence, 3)))
            segments.append(
                Segment(segment.start, segment.end, segment.text, tuple(words), segment.confidence)
            )
        hypothesis = Hypothesis(tuple(segments), one.hypothesis.language, one.hypothesis.flags)
        return _Heard(hypothesis, one.spans, one.resume, one.language)

    def _sequential(self, job: _Job) -> Hypothesis:
        """A waveform longer than the chunk, window after window as its timestamps lead."""
        segments: list[Segment] = []
        flags: set[str] = set()
        language: str | None = None
        at = 0.0
        while len(rest := job.waveform[round(at * SAMPLE_RATE) :]) >= FEWEST_SAMPLES:
            waveform = self._chunk(rest)
            window = _Job(waveform, job.utterance, _silent(waveform))
            if window.silent:
                at += window.seconds
                continue
            heard = self._decode([window], self._backend.features([window.waveform]))[0]
            complete = [one for one in heard.hypothesis.segments if one.start < heard.resume]
            segments += [_shifted(one, at) for one in complete]
            flags |= set(heard.hypothesis.flags)
            language = language or heard.hypothesis.language
            at += heard.resume
        return Hypothesis(tuple(segments), language, tuple(sorted(flags)))


@dataclass(frozen=True, slots=True)
class _Heard:
    """A decoded window; ``resume``: seconds into it where the next begins, in sequence."""

    hypothesis: Hypothesis
    spans: list[transcript.Span]
    resume: float
    language: str | None


def _silent(waveform: Waveform) -> bool:
    """Whether nothing can be heard, found without a copy of what may be hours."""
    if len(waveform) < FEWEST_SAMPLES:
        return True
    return max(float(waveform.max()), -float(waveform.min())) < SILENCE


def _no_speech(draft: Draft) -> bool:
    return (
        draft.no_speech > transcript.NO_SPEECH
        and draft.log_probability < transcript.LOG_PROBABILITY
    )


def _shifted(segment: Segment, by: float) -> Segment:
    words = tuple(
        Word(word.text, round(word.start + by, 3), round(word.end + by, 3), word.confidence)
        for word in segment.words
    )
    start, end = segment.start + by, segment.end + by
    return Segment(start, end, segment.text, words, segment.confidence)
