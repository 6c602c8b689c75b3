"""Whisper over a runtime: batches of clips, temperature fallback, tokens to words with times.

A result does not depend on the other clips of its batch, except in the last bits of floats: a
sampled clip is decoded alone, with its own random numbers (as far as the runtime allows).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from speechkit.engines.asr.whisper import token_spans, word_times
from speechkit.engines.asr.whisper.languages import LanguageOption, Spoken
from speechkit.engines.asr.whisper.live import LiveWhisper
from speechkit.engines.asr.whisper.temperature_fallback import AssessedDraft, FallbackDecoder
from speechkit.engines.batch_size import BatchSize
from speechkit.engines.prefetch import prefetched
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, Clip, DeviceUse
from speechkit.errors import UsageError
from speechkit.records import Hypothesis

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Backend
    from speechkit.engines.asr.whisper.options import WhisperOptions
    from speechkit.engines.asr.whisper.token_spans import Span
    from speechkit.engines.protocols import Waveform

SILENCE = 3e-4  # peak amplitude (-70 dBFS) below which there is no speech
FEWEST_SAMPLES = 400  # one analysis window of 25 ms


@dataclass(frozen=True, slots=True)
class _Job:
    """A clip to decode; ``last``: it is the last of its utterance."""

    clip: Clip
    spoken: Spoken
    silent: bool
    last: bool


@dataclass(frozen=True, slots=True)
class _Windows:
    """Clips of a group, by their places in it, whose windows are equally long, and features."""

    jobs: dict[int, _Job]
    features: Any


@dataclass(frozen=True, slots=True)
class _DecodedClip:
    """The spans of a clip's text, and the draft that they are from."""

    spans: list[Span]
    draft: AssessedDraft
    language: str | None


class Whisper(AsrEngine):
    """An AsrEngine over a `Backend`."""

    def __init__(self, backend: Backend, options: WhisperOptions) -> None:
        self._backend = backend
        self._options = options
        self._vocabulary = backend.vocabulary
        self._language = LanguageOption.parse(options.language, self._vocabulary)
        if not self._language.fixed and self._vocabulary.languages and not backend.detects:
            raise UsageError("this model can't tell the language: give it with --language")
        self._fallback = FallbackDecoder(backend, options.beam_size, options.temperature)
        self._context = self._previous_text()
        fitting = partial(backend.batch_size, options.beam_size)
        self._batch = BatchSize(
            options.batch_size or fitting(),
            backend.out_of_memory,
            backend.free_memory,
            each=backend.windows_a_row,
            corrected=None if options.batch_size else fitting,
        )
        self._seconds = 0.0
        self.max_window = self.least_window = backend.chunk
        self.short_window = backend.context

    def device_use(self) -> DeviceUse:
        return DeviceUse(
            self._backend.device,
            self._backend.compute_type,
            self._batch.size,
            self._seconds,
            parts=dict(self._backend.parts),
        )

    def language(self, clips: Iterable[Clip]) -> str | None:
        option = self._language
        if option.fixed or option.each or not self._vocabulary.languages:
            return None
        audible = [clip for clip in clips if not _silent(clip.waveform)]
        return Spoken(audible).settle(option, self._shares_of) if audible else None

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        hypotheses: list[Hypothesis] = []
        groups = ((group, self._windows(group)) for group in self._groups(utterances))
        for jobs, windows in prefetched(groups):
            for job, hypothesis in zip(jobs, self._group(jobs, windows), strict=True):
                if job is not None:
                    hypotheses.append(hypothesis)
                if job is None or job.last:
                    yield hypotheses
                    hypotheses = []

    def live(self) -> LiveWhisper:
        return LiveWhisper(self._backend, self._options, self._language, self._context)

    def _groups(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[_Job | None]]:
        """Groups of clips decoded in a call; None stands for an utterance without clips."""
        group: list[_Job | None] = []
        for clips in utterances:
            audible = [clip for clip in clips if not _silent(clip.waveform)]
            spoken = Spoken(audible, self._language.fixed)
            jobs: list[_Job | None] = [
                _Job(clip, spoken, clip not in audible, last=index + 1 == len(clips))
                for index, clip in enumerate(clips)
            ]
            for job in jobs or [None]:
                group.append(job)
                if len(group) >= self._batch.together:
                    yield group
                    group = []
        if group:
            yield group

    def _windows(self, jobs: Sequence[_Job | None]) -> list[_Windows]:
        """The audible clips of a group by the length of their windows, the longest first, in which
        a language is the surest."""
        by_length: dict[float, dict[int, _Job]] = {}
        for place, job in enumerate(jobs):
            if job is not None and not job.silent:
                length = self._backend.window(self._seconds_of(job.clip))
                by_length.setdefault(length, {})[place] = job
        windows = []
        for _, alike in sorted(by_length.items(), reverse=True):
            chunks = [self._chunk(job.clip) for job in alike.values()]
            windows.append(_Windows(alike, self._backend.features(chunks)))
        return windows

    def _seconds_of(self, clip: Clip) -> float:
        return min(clip.seconds, self._backend.chunk)

    def _chunk(self, clip: Clip) -> Waveform:
        return clip.waveform[: round(self._backend.chunk * SAMPLE_RATE)]

    def _group(self, jobs: Sequence[_Job | None], windows: Sequence[_Windows]) -> list[Hypothesis]:
        began = time.monotonic()
        hypotheses = [Hypothesis()] * len(jobs)
        for alike in windows:
            for place, hypothesis in zip(alike.jobs, self._alike(alike), strict=True):
                hypotheses[place] = hypothesis
        self._seconds += time.monotonic() - began
        return hypotheses

    def _alike(self, windows: _Windows) -> list[Hypothesis]:
        jobs = list(windows.jobs.values())

        def decode(rows: Sequence[int]) -> list[Hypothesis]:
            part = slice(rows[0], rows[-1] + 1)
            return self._decode(jobs[part], windows.features[part])

        return self._batch.map_halving(range(len(jobs)), decode)

    def _decode(self, jobs: Sequence[_Job], features: Any) -> list[Hypothesis]:
        clips = [job.clip for job in jobs]
        encoded = self._backend.encode(features, self._batch.size)
        languages = self._languages(jobs, encoded)
        prompts = [self._prompt(language) for language in languages]
        drafts = self._fallback.decode(clips, features, encoded, prompts, self._batch.size)
        seconds = [self._seconds_of(clip) for clip in clips]
        decoded = [
            self._decoded_clip(draft, language, length)
            for draft, language, length in zip(drafts, languages, seconds, strict=True)
        ]
        return self._timed(decoded, encoded, seconds)

    def _languages(self, jobs: Sequence[_Job], encoded: Any) -> list[str | None]:
        if not self._vocabulary.languages:
            return ["en"] * len(jobs)
        if self._language.fixed:
            return [self._language.fixed] * len(jobs)
        clips = [job.clip for job in jobs]
        shares = self._backend.languages(encoded)

        def shares_of(clip: Clip) -> dict[str, float]:
            return shares[clips.index(clip)] if clip in clips else self._shares_of(clip)

        languages: list[str | None] = []
        for job, row in zip(jobs, shares, strict=True):
            if job.clip.language in self._vocabulary.languages:
                languages.append(job.clip.language)
            elif self._language.each:
                languages.append(self._language.likeliest(row)[0])
            else:
                languages.append(job.spoken.settle(self._language, shares_of))
        return languages

    def _shares_of(self, clip: Clip) -> dict[str, float]:
        """The probability of each language of a clip by itself."""
        features = self._backend.features([self._chunk(clip)])
        return self._backend.languages(self._backend.encode(features, 1))[0]

    def _previous_text(self) -> list[int]:
        text = " ".join(filter(None, [self._options.hotwords, self._options.initial_prompt]))
        return self._vocabulary.context(text, self._backend.longest // 2 - 1) if text else []

    def _prompt(self, language: str | None) -> list[int]:
        start = self._vocabulary.start(language, self._options.task)
        end = [] if self._options.timestamps else [self._vocabulary.no_timestamps]
        return [*self._context, *start, *end]

    def _decoded_clip(
        self, assessed: AssessedDraft, language: str | None, seconds: float
    ) -> _DecodedClip:
        spans = token_spans.spans(assessed.believed, self._vocabulary, seconds)
        return _DecodedClip(spans, assessed, language)

    def _timed(
        self, decoded: Sequence[_DecodedClip], encoded: Any, seconds: list[float]
    ) -> list[Hypothesis]:
        """Hypotheses with times; all clips of a language are aligned together."""
        hypotheses = [Hypothesis()] * len(decoded)
        for language in dict.fromkeys(clip.language for clip in decoded if clip.spans):
            texts = [
                [token for span in clip.spans for token in span.tokens]
                if clip.language == language
                else []
                for clip in decoded
            ]
            start = self._vocabulary.start(language, self._options.task)
            alignments = self._backend.align(encoded, start, texts, seconds)
            for row, (clip, text) in enumerate(zip(decoded, texts, strict=True)):
                if text:
                    segments = word_times.segments(
                        clip.spans, alignments[row], self._vocabulary, language
                    )
                    hypotheses[row] = _hypothesis(clip, segments)
        return hypotheses


def _hypothesis(clip: _DecodedClip, segments: Sequence[Any]) -> Hypothesis:
    confidence = round(math.exp(clip.draft.draft.log_probability), 3)
    return Hypothesis(
        tuple(
            replace(segment, confidence=confidence, language=clip.language, flags=clip.draft.flags)
            for segment in segments
        ),
        clip.language,
    )


def _silent(waveform: Waveform) -> bool:
    """Whether nothing is audible; copies nothing of a waveform that may last hours."""
    if len(waveform) < FEWEST_SAMPLES:
        return True
    return max(float(waveform.max()), -float(waveform.min())) < SILENCE
