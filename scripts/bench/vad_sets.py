"""Recordings of which it is known, by hand or by construction, where they hold speech.

`SETS` makes, by name, from a folder of data:
- ``vad``, ``ami``: conversations and half-minutes of meetings, labelled by hand (RTTM);
- ``digits``: single words, cut out without the silence around them;
- ``joined``: sentences of one speaker with pauses between them, as they are, in noise, quiet, over
  the telephone and from afar;
- ``noise``: recordings of everyday noise; ``tones``: silence, hiss and music, made here. No speech
  in either.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 16_000  # Hz
FRAME = 160  # samples, of which each is speech, a pause, or neither for certain

Samples = NDArray[np.float32]
Frames = NDArray[np.bool_]
Stretches = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Recording:
    """``speech`` and ``pause``: the frames that are certain. ``group``: the speaker or the meeting.
    ``part``: the part of its set that is reported by itself, if any. ``whole``: a word, which is
    found or missed as a whole."""

    group: str
    samples: Samples
    speech: Frames
    pause: Frames
    part: str = ""
    whole: bool = False


def read(path: Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Samples = samples.mean(axis=1)
    return mono if rate == RATE else soxr.resample(mono, rate, RATE)


def files(folder: Path, suffix: str) -> list[Path]:
    found = sorted(folder.glob(f"*.{suffix}"))
    if not found:
        raise SystemExit(f"{folder} holds no .{suffix} file")
    return found


def inside(count: int, stretches: Stretches) -> Frames:
    """Which of ``count`` frames have their middle in one of the stretches (seconds)."""
    middles = (np.arange(count) + 0.5) * FRAME / RATE
    marked = np.zeros(count, bool)
    for start, end in stretches:
        marked |= (middles >= start) & (middles < end)
    return marked


# ---- Labelled by hand ----


def by_hand(path: Path, part: str = "") -> Recording:
    samples = read(path)
    speech = inside(len(samples) // FRAME, rttm(path.with_suffix(".rttm")))
    return Recording(path.stem, samples, speech, ~speech, part)


def rttm(path: Path) -> Stretches:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(float(field[3]), float(field[3]) + float(field[4])) for field in lines if field]


def word(path: Path) -> Recording:
    """Named as in the Free Spoken Digit Dataset: digit, speaker, number."""
    samples = read(path)
    speech = np.ones(len(samples) // FRAME, bool)
    return Recording(path.stem.split("_")[1], samples, speech, ~speech, whole=True)


# ---- Joined: truth by construction ----

LOUD = 95  # percentile of a sentence's frames that counts as its loudness
AUDIBLE = 25.0  # dB below it; frames above that are speech for certain
ECHO = 0.2  # seconds of a pause that may still hear the sentence before
PAUSES = (0.5, 2.0)  # seconds
ROOM = -80.0  # dBFS, of the noise that fills the pauses


def joined(data: Path) -> Iterator[Recording]:
    """Every speaker's sentences in a row, once in each of `CONDITIONS`."""
    paths = [*files(data / "librispeech", "flac"), *sorted((data / "asr").glob("[!m]*.*"))]
    noises = [read(path) for path in files(data / "noise", "wav")]

    def speaker(path: Path) -> str:
        return path.stem.split("-")[0] if path.parent.name == "librispeech" else "several"

    for number, (group, own) in enumerate(itertools.groupby(paths, speaker)):
        random = np.random.default_rng(number)
        samples, speech, pause = in_a_row([read(path) for path in own], random)
        for name, condition in CONDITIONS.items():
            heard = condition(samples, noises[number % len(noises)], random)
            yield Recording(group, heard.astype(np.float32), speech, pause, name)


def in_a_row(
    sentences: list[Samples], random: np.random.Generator
) -> tuple[Samples, Frames, Frames]:
    parts: list[Samples] = []
    speech: list[Frames] = []
    pause: list[Frames] = []
    for sentence in sentences:
        gap = int(random.uniform(*PAUSES) * RATE / FRAME)
        cut = sentence[: len(sentence) // FRAME * FRAME]
        parts += [gaussian(gap * FRAME, ROOM, random), cut]
        audible = decibels(cut) > np.percentile(decibels(cut), LOUD) - AUDIBLE
        speech += [np.zeros(gap, bool), audible]
        pause += [np.arange(gap) * FRAME / RATE >= ECHO, np.zeros(len(audible), bool)]
    return np.concatenate(parts), np.concatenate(speech), np.concatenate(pause)


def decibels(samples: Samples) -> NDArray[np.float64]:
    """Level of each frame below full scale."""
    power = np.square(samples.reshape(-1, FRAME), dtype=np.float64).mean(axis=1)
    return 10 * np.log10(power + 1e-12)


def gaussian(count: int, level: float, random: np.random.Generator) -> Samples:
    return (random.standard_normal(count) * 10 ** (level / 20)).astype(np.float32)


Condition = Callable[[Samples, Samples, np.random.Generator], NDArray[np.floating]]


def noisy(ratio: float) -> Condition:
    """Noise ``ratio`` dB below the speech, by their mean power."""

    def add(samples: Samples, noise: Samples, _: np.random.Generator) -> NDArray[np.floating]:
        loud = np.sqrt(np.square(samples).mean() / np.square(noise).mean())
        return samples + np.resize(noise, len(samples)) * loud * 10 ** (-ratio / 20)

    return add


def quieter(by: float) -> Condition:
    return lambda samples, *_: samples * 10 ** (-by / 20)


def telephone(samples: Samples, *_: object) -> NDArray[np.floating]:
    """300 to 3400 Hz: nothing above, 24 dB less for every octave below."""
    spectrum = np.fft.rfft(samples)
    pitch = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum *= np.minimum(pitch / 300, 1) ** 4 * (pitch <= 3400)
    return np.fft.irfft(spectrum, len(samples))


def far(samples: Samples, _: Samples, random: np.random.Generator) -> NDArray[np.floating]:
    """A room that takes 0.6 s to decay by 60 dB, its echo 3 dB louder than the direct sound."""
    count = int(0.6 * RATE)
    echo = random.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    echo *= 10 ** (3 / 20) / np.sqrt(np.square(echo).sum())
    echo[0] += 1
    size = len(samples) + count
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echo, size), size)
    return heard[: len(samples)] / 2


CONDITIONS: dict[str, Condition] = {
    "as it is": lambda samples, *_: samples,
    "noise 20 dB down": noisy(20),
    "noise 10 dB down": noisy(10),
    "noise 5 dB down": noisy(5),
    "20 dB quieter": quieter(20),
    "30 dB quieter": quieter(30),
    "telephone": telephone,
    "far": far,
}


# ---- No speech ----


def speechless(group: str, samples: Samples) -> Recording:
    pause = np.ones(len(samples) // FRAME, bool)
    return Recording(group, samples, ~pause, pause)


def tones() -> Iterator[tuple[str, Samples]]:
    """Half a minute each of what a recording holds besides speech and noise."""
    random = np.random.default_rng(2)
    seconds = np.arange(30 * RATE) / RATE
    yield "silence", np.zeros(len(seconds), np.float32)
    for level in (-70, -50, -30):
        yield f"hiss, {level} dBFS", gaussian(len(seconds), level, random)
    hum = sum(np.sin(2 * np.pi * 50 * k * seconds) / k for k in (1, 2, 3, 5))
    yield "mains hum", (0.02 * hum).astype(np.float32)
    yield "chords", notes(seconds, (1, 1.25, 1.5, 2), 1.0)
    yield "melody", notes(seconds, (2, 4.01, 6.02), 0.3)
    pitch = 700 + 300 * np.sin(2 * np.pi * 0.3 * seconds)
    yield "siren", (0.1 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)).astype(np.float32)
    yield "clicks", np.where(seconds % 0.7 < 0.002, 0.5, 0.0).astype(np.float32)


def notes(seconds: NDArray[np.float64], partials: tuple[float, ...], length: float) -> Samples:
    """Plucked notes of four roots in turn, ``length`` seconds each."""
    roots = np.array([220, 174.6, 261.6, 196])[(seconds / length).astype(int) % 4]
    sound = sum(np.sin(2 * np.pi * roots * partial * seconds) for partial in partials)
    return (0.08 * sound * np.exp(-2 * (seconds % length))).astype(np.float32)


# ---- All of them ----

SETS: dict[str, Callable[[Path], list[Recording]]] = {
    "vad": lambda data: [by_hand(path) for path in files(data / "vad", "wav")],
    "ami": lambda data: [by_hand(path, path.stem) for path in files(data / "ami", "flac")],
    "digits": lambda data: [word(path) for path in files(data / "digits", "wav")],
    "joined": lambda data: list(joined(data)),
    "noise": lambda data: [speechless(p.stem, read(p)) for p in files(data / "noise", "wav")],
    "tones": lambda _: [speechless(name, samples) for name, samples in tones()],
}
