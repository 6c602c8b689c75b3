"""The parts of a long recording, which are transcribed each by itself.

A recording is divided at even times before anything of it is heard. The pause at which two parts
are really cut lies in the `SEAM` before such an edge. It is found from the sound of the seam alone,
so that both parts find the same one, whoever computes them.
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
from speechkit.io.checksums import file_stamp
from speechkit.records import Division, Part, Utterance
from speechkit.stages.asr import judge
from speechkit.stages.asr.speaker_turns import NO_TURNS, Turn, Turns
from speechkit.stages.asr.windows import Span, pause_in

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

SEAM = 30.0  # seconds
BEGINNING = 300.0  # seconds, which tell the language of a long recording
EVENLY = 4  # parts come in multiples of it, so that 2 or 4 workers share them evenly


@dataclass(frozen=True, slots=True)
class Known:
    """What its parts and the result need to know of a whole recording.

    ``duration`` in seconds; ``flags`` of its audio; ``peak``: its largest absolute sample;
    ``ffmpeg`` and ``channel``: as in `audio.Reading`; ``language``: the detected one, if any.
    """

    duration: float
    flags: tuple[str, ...]
    peak: float
    ffmpeg: bool
    channel: int | None
    language: str | None = None

    @classmethod
    def of(cls, recording: audio.Audio) -> Known:
        reading = asdict(recording.reading)
        return cls(recording.seconds, recording.flags, recording.peak, **reading)

    @classmethod
    def of_division(cls, division: Division) -> Known:
        return typed_json.to_dataclass(cls, division.known)


@dataclass(frozen=True, slots=True)
class PartAudio:
    """The sound of a part or of a whole recording, from ``start`` seconds of the file on.

    ``judged``: the speech in it, in seconds of the waveform.
    """

    known: Known
    waveform: Waveform
    start: float
    judged: Sequence[Span]


def whole(utterance: Utterance, recording: audio.Audio) -> PartAudio:
    """A recording as one part."""
    speech = judge.speech(recording.waveform, recording.peak)
    return PartAudio(Known.of(recording), recording.waveform, utterance.offset, speech)


def beginning(utterance: Utterance, recording: audio.Audio) -> PartAudio:
    """The first `BEGINNING` of a long recording."""
    waveform = recording.beginning[: round(BEGINNING * SAMPLE_RATE)]
    speech = judge.speech(waveform, recording.peak)
    return PartAudio(Known.of(recording), waveform, utterance.offset, speech)


def load_part(utterance: Utterance, part: Part, track: str | None) -> PartAudio:
    """The sound of a part, cut at pauses. Raise an ``Audio…`` error naming the file."""
    known = Known.of_division(part.division)
    before = SEAM if part.number else 0.0
    assert utterance.duration is not None
    start, duration = utterance.offset - before, before + utterance.duration
    waveform = audio.load_again(
        utterance.audio,
        audio.Reading(known.ffmpeg, known.channel),
        offset=start,
        duration=duration,
        sample_rate=SAMPLE_RATE,
        track=track,
    )
    if len(waveform) < (duration - audio.SLACK) * SAMPLE_RATE:
        raise AudioTruncated(f"{utterance.audio}: became shorter while it was transcribed")
    first = _cut(waveform, (0.0, SEAM), start, utterance, known) if before else 0.0
    last = duration
    if not part.is_last:
        last = _cut(waveform, (duration - SEAM, duration), start, utterance, known)
    waveform = waveform[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
    return PartAudio(known, waveform, start + first, judge.speech(waveform, known.peak))


def divided(utterance: Utterance, recording: audio.Audio, longest: float) -> Division:
    """A division into parts of at most ``longest`` seconds, and of half of that at least.

    The recording is longer than two such parts.
    """
    seconds = recording.seconds
    parts = EVENLY * math.ceil(seconds / (EVENLY * longest))
    edges = [float(round(number * seconds / parts)) for number in range(parts)]
    known = asdict(Known.of(recording))
    return Division((*edges, seconds), file_stamp(utterance.audio), known)


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


def _cut(
    waveform: Waveform,
    seam: Span,
    start: float,
    utterance: Utterance,
    known: Known,
) -> float:
    """The time in the waveform, which begins at ``start``, at which two parts meet in the seam."""
    sound = waveform[round(seam[0] * SAMPLE_RATE) : round(seam[1] * SAMPLE_RATE)]
    speech = given_speech(utterance, start + seam[0])
    if speech is None:
        speech = judge.speech(sound, known.peak)
    return seam[0] + pause_in((0.0, SEAM), sound, SAMPLE_RATE, speech)
