"""The parts of a long recording, which are transcribed each by itself.

A recording is divided at even times before anything of it is heard. The pause at which two parts
are really cut lies in the `SEAM` before such an edge. Both parts find the same one, whoever
computes them, because they hear the same sound of the seam: what a decoder and a resampler make of
the ends of a slice lies in the `MARGIN` beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from speechkit import keys
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import AudioTruncated
from speechkit.io import audio, typed_json
from speechkit.records import Division, Part, Utterance
from speechkit.stages.asr import judge
from speechkit.stages.asr.speaker_turns import NO_TURNS, Turn, Turns
from speechkit.stages.asr.windows import Span, pause_in, united

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

SEAM = 30.0  # seconds
MARGIN = 3.0  # seconds; after a seek, AAC's decoder needs 2 until it gives the same samples
BEGINNING = 300.0  # seconds, which tell the language of a long recording
PARTS_MULTIPLE = 4  # so that 2 or 4 workers share the parts evenly
#: Seconds of the longest part of a file that is decoded from its beginning for each.
UNSEEKABLE_PART = 1800.0


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What its parts and the result need to know of a whole recording.

    ``duration`` in seconds; ``flags`` of its audio; ``peak``: its largest absolute sample, at most
    full scale; ``ffmpeg``, ``channel`` and ``seekable``: as in `audio.Reading`; ``language``: the
    detected one, if any.
    """

    duration: float
    flags: tuple[str, ...]
    peak: float
    ffmpeg: bool
    channel: int | None
    seekable: bool
    language: str | None = None

    @property
    def reading(self) -> audio.Reading:
        return audio.Reading(self.ffmpeg, self.channel, self.seekable)

    @classmethod
    def of(cls, recording: audio.Audio) -> RecordingFacts:
        reading = asdict(recording.reading)
        return cls(recording.seconds, recording.flags, min(recording.peak, 1.0), **reading)

    @classmethod
    def of_division(cls, division: Division) -> RecordingFacts:
        return typed_json.to_dataclass(cls, division.known)


@dataclass(frozen=True, slots=True)
class PartAudio:
    """The sound of a part or of a whole recording, from ``start`` seconds of the file on.

    ``judged``: the speech in it, in seconds of the waveform.
    """

    known: RecordingFacts
    waveform: Waveform
    start: float
    judged: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Seam:
    """``start`` in seconds of the file; ``given_speech`` from there, None without any."""

    start: float
    given_speech: list[Span] | None


def whole(utterance: Utterance, recording: audio.Audio) -> PartAudio:
    """A recording as one part."""
    speech = judge.speech(recording.waveform, recording.peak)
    return PartAudio(RecordingFacts.of(recording), recording.waveform, utterance.offset, speech)


def beginning(utterance: Utterance, recording: audio.Audio) -> PartAudio:
    """The first `BEGINNING` of a long recording."""
    waveform = recording.beginning[: round(BEGINNING * SAMPLE_RATE)]
    speech = judge.speech(waveform, recording.peak)
    return PartAudio(RecordingFacts.of(recording), waveform, utterance.offset, speech)


def load_part(utterance: Utterance, part: Part, track: str | None) -> PartAudio:
    """The sound of a part, cut at pauses. Raise an ``Audio…`` error naming the file."""
    known = RecordingFacts.of_division(part.division)
    assert utterance.duration is not None
    before = SEAM + MARGIN if part.number else 0.0
    after = 0.0 if part.is_last else MARGIN
    start, duration = utterance.offset - before, before + utterance.duration + after
    waveform = audio.load_again(
        utterance.audio,
        known.reading,
        offset=start,
        duration=duration,
        sample_rate=SAMPLE_RATE,
        track=track,
    )
    if len(waveform) < (duration - audio.SLACK) * SAMPLE_RATE:
        raise AudioTruncated(f"{utterance.audio}: became shorter while it was transcribed")
    first, last = 0.0, duration
    if part.number:
        first = MARGIN + _cut(waveform, MARGIN, _seam(utterance, part, part.number), known)
    if not part.is_last:
        at = duration - MARGIN - SEAM
        last = at + _cut(waveform, at, _seam(utterance, part, part.number + 1), known)
    waveform = waveform[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
    return PartAudio(known, waveform, start + first, judge.speech(waveform, known.peak))


def divided(recording: audio.Audio, longest: float) -> Division | None:
    """A division into parts of at most ``longest`` seconds.

    None for a recording that fits into memory, and has less than two such parts.
    """
    known = RecordingFacts.of(recording)
    longest = longest if known.seekable else max(longest, UNSEEKABLE_PART)
    if expected_parts(recording.seconds, longest) or recording.is_long:
        return Division(_edges(recording.seconds, longest), asdict(known))
    return None


def expected_parts(seconds: float, longest: float) -> int:
    """The number of parts of a seekable recording of so many seconds; 0 if it is not divided."""
    return len(_edges(seconds, longest)) - 1 if seconds > 2 * longest else 0


def _edges(seconds: float, longest: float) -> tuple[float, ...]:
    """Those of even parts; the last quarter of them is halved, so that workers end together."""
    parts = PARTS_MULTIPLE * math.ceil(seconds / (PARTS_MULTIPLE * longest))
    halved = 3 * parts // 4
    starts = [*range(halved), *(half / 2 for half in range(2 * halved, 2 * parts))]
    return (*(float(round(start * seconds / parts)) for start in starts), seconds)


def with_language(division: Division, language: str | None) -> Division:
    return replace(division, known={**division.known, "language": language})


def given_speech(utterance: Utterance, start: float) -> list[Span] | None:
    """The segments of an earlier stage, in seconds from ``start`` on; None without any."""
    segments = utterance.record.get("segments")
    if segments is None:
        return None
    return [(segment["start"] - start, segment["end"] - start) for segment in segments]


def turns(utterance: Utterance, start: float) -> Turns:
    """The segments of an earlier stage as turns, if any has keys to carry over."""
    segments = utterance.record.get("segments") or ()
    extras = [keys.carried_over(segment) for segment in segments]
    if not any(extras):
        return NO_TURNS
    return Turns(
        Turn(segment["start"] - start, segment["end"] - start, extra)
        for segment, extra in zip(segments, extras, strict=True)
    )


def _seam(utterance: Utterance, part: Part, edge: int) -> Seam:
    """The seam before an edge, by the same numbers for the parts on both sides of it."""
    offset = round(utterance.offset - part.division.edges[part.number], 6)
    start = round(offset + part.division.edges[edge] - SEAM, 6)
    return Seam(start, given_speech(utterance, start))


def _cut(waveform: Waveform, at: float, seam: Seam, known: RecordingFacts) -> float:
    """The seconds of the seam, which is ``at`` seconds in the waveform, where two parts meet."""
    sound = waveform[round(at * SAMPLE_RATE) : round((at + SEAM) * SAMPLE_RATE)]
    speech = seam.given_speech
    speech = judge.speech(sound, known.peak) if speech is None else united(speech, SEAM)
    return pause_in((0.0, SEAM), sound, SAMPLE_RATE, speech)
