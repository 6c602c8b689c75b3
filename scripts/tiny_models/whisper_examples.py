"""Training examples for Whisper: digits and noise joined in the mel domain, with their targets.

Mel power is additive (but for cross terms), so that a recording's spectrogram is computed once and
a window of several words costs a few additions instead of a Fourier transform.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

from .digits import NAMES, RATE, Samples, Word
from .whisper_text import Ids

FRAMES = 100  # mel frames a second
STEPS = 50  # encoder positions a second
EDGE = 2  # frames of a recording's spectrogram before its first sample
JOIN = 0.2  # seconds: words closer than this share a segment
GAPS = (0.05, 0.8)  # seconds between words
TAIL = 0.3  # seconds of silence around a word that its attention may take
IGNORED = -100  # the label without a loss

Power = NDArray[np.float32]  # (frames, mels)
Span = tuple[float, float]  # seconds


@dataclass(frozen=True)
class Heard:
    """A word in a window: its text and its place in seconds."""

    text: str
    start: float
    end: float


@dataclass
class Example:
    """A window and what the model is to say of it.

    `tokens` go in, `labels` come out (IGNORED: no loss); `looks` holds the seconds that the step
    of the same index should attend to, `frames` the class of each encoder position: 0 for silence,
    else the digit plus one.
    """

    features: NDArray[np.float32]
    tokens: list[int]
    labels: list[int]
    looks: dict[int, Span] = field(default_factory=dict)
    frames: NDArray[np.int64] | None = None


class MelBank:
    """Computes mel power spectrograms with a feature extractor's own filters."""

    def __init__(self, extractor: WhisperFeatureExtractor) -> None:
        self._filters = np.asarray(extractor.mel_filters, np.float32)
        self._window = scipy.signal.get_window("hann", extractor.n_fft).astype(np.float32)
        self._hop = extractor.hop_length

    def power(self, samples: Samples, shift: int = 0) -> Power:
        """Of the samples between silence, begun `shift` samples (< a hop) after a frame's centre.

        The first frame is centred two hops before them.
        """
        hop, half = self._hop, len(self._window) // 2
        padded = np.pad(samples, (EDGE * hop + shift + half, EDGE * hop + half))
        pieces = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[::hop]
        spectrum = scipy.fft.rfft(pieces * self._window)
        result: Power = (np.abs(spectrum) ** 2) @ self._filters
        return result


def _interpolate(rows: Power, places: NDArray[np.float64]) -> Power:
    """The rows at fractional places, linearly."""
    places = np.clip(places, 0, len(rows) - 1)
    low = np.minimum(places.astype(np.int64), len(rows) - 2)
    part = (places - low).astype(np.float32)[:, None]
    result: Power = rows[low] * (1 - part) + rows[low + 1] * part
    return result


def log_mel(power: Power) -> NDArray[np.float32]:
    """Whisper's features of one window, (mels, frames)."""
    log = np.log10(np.maximum(power, 1e-10))
    return ((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).T


class Mixer:
    """Draws windows of `window` seconds: words at known places over a background."""

    def __init__(
        self, words: list[Word], noises: list[Samples], bank: MelBank, window: int, seed: int
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.window = window
        self._size = window * FRAMES
        self._bank = bank
        self._words = [(word.text, self._recording(word)) for word in words]
        self._noises = [bank.power(sound) for sound in [*noises, *_synthetic_noises(self.random)]]

    def _recording(self, word: Word) -> Power:
        """Mel power, the peak at full scale, frames at a random phase."""
        samples = word.samples / max(float(np.abs(word.samples).max()), 1e-4)
        return self._bank.power(samples, int(self.random.integers(160)))

    def _spoken(self, recording: Power) -> tuple[Power, float]:
        """The recording at another speed and vocal tract length, and its seconds."""
        speed, tract = self.random.uniform(0.82, 1.2), self.random.uniform(0.94, 1.06)
        seconds = (len(recording) - 5) / FRAMES / speed
        frames = EDGE + (np.arange(int(seconds * FRAMES) + 2 * EDGE + 1) - EDGE) * speed
        return _interpolate(_interpolate(recording, frames).T, np.arange(80) * tract).T, seconds

    def silence(self) -> NDArray[np.float32]:
        """Features of a window without words: nothing, or noise at any level."""
        power = np.zeros((self._size, 80), np.float32)
        if self.random.random() < 0.8:
            power += self._noise(self.random.uniform(-70, -5))
        if self.random.random() < 0.3:
            power += self._noise(self.random.uniform(-50, 0)) * self._bump()
        return log_mel(power)

    def speech(self, words: int, *, cut: bool) -> tuple[NDArray[np.float32], list[Heard], bool]:
        """Features, the words that fit, and whether the window's end cuts one that isn't among them.

        At most `words` words; where not `cut`, none is cut.
        """
        random = self.random
        power = np.zeros((self._size + 400, 80), np.float32)
        tilt = self._tilt()
        heard: list[Heard] = []
        lead = 0.0 if random.random() < 0.2 else random.uniform(0, 1.2 if words < 3 else 0.5)
        frame = int(lead * FRAMES)
        tight = random.random() < 0.4
        while len(heard) < words:
            text, recording = self._words[random.integers(len(self._words))]
            mel, seconds = self._spoken(recording)
            start = frame / FRAMES
            if start + seconds > self.window:
                if cut and start + 0.1 < self.window and heard:
                    self._add(power, mel, frame, tilt)
                    return self._finish(power), [*heard, Heard(text, start, start + seconds)], True
                if heard:
                    break
                frame = 0
                if seconds > self.window:
                    continue
                start = 0.0
            self._add(power, mel, frame, tilt)
            heard.append(Heard(text, start, start + seconds))
            gap = random.uniform(GAPS[0], 0.25 if tight else GAPS[1])
            frame = int(np.ceil((start + seconds + gap) * FRAMES))
        return self._finish(power), heard, False

    def _add(self, power: Power, mel: Power, frame: int, tilt: Power) -> None:
        """In place; the word's first sample comes at `frame`."""
        gain = 10 ** self.random.uniform(-0.6, 0)
        skip = max(0, EDGE - frame)
        place = power[frame - EDGE + skip : frame - EDGE + len(mel)]
        place += (mel[skip : skip + len(place)] * tilt) * np.float32(gain)

    def _finish(self, power: Power) -> NDArray[np.float32]:
        """Background and level."""
        power = power[: self._size]
        if self.random.random() < 0.7:
            power = power + self._noise(self.random.uniform(-75, -22))
        return log_mel(power * np.float32(10 ** self.random.uniform(-3, 0.3)))

    def _tilt(self) -> Power:
        """A smooth random equaliser, (mels,)."""
        knots = self.random.normal(0, 0.25, 6)
        return (10 ** np.interp(np.linspace(0, 5, 80), np.arange(6), knots)).astype(np.float32)

    def _noise(self, level: float) -> Power:
        """A window of noise, `level` dB below full scale's loudest word frame or so."""
        noise = self._noises[self.random.integers(len(self._noises))]
        begin = self.random.integers(len(noise) - self._size)
        piece = noise[begin : begin + self._size]
        scale = 10 ** (level / 10) / max(float(piece.mean()), 1e-9)
        result: Power = piece * self._tilt() * np.float32(scale)
        return result

    def _bump(self) -> Power:
        """An envelope in time that is 1 in a random stretch, (frames, 1)."""
        begin, length = self.random.uniform(0, 0.8), self.random.uniform(0.05, 0.6)
        times = np.linspace(0, 1, self._size)
        inside = (times >= begin) & (times < begin + length)
        return inside.astype(np.float32)[:, None]


def _synthetic_noises(random: np.random.Generator) -> list[Samples]:
    """12 s each of white, pink and brown noise, a hum, beeps and swept tones, RMS 0.1."""
    time = np.arange(12 * RATE) / RATE
    white = random.standard_normal(len(time))
    pink = scipy.signal.lfilter(
        [0.049922, -0.095993, 0.050613, -0.004409], [1, -2.494956, 2.017266, -0.522190], white
    )
    brown = scipy.signal.lfilter([1], [1, -0.98], white)
    hum = sum(np.sin(2 * np.pi * 50 * n * time) / n for n in range(1, 12))
    beeps = np.sin(2 * np.pi * 1000 * time) * (np.sin(2 * np.pi * 1.3 * time) > 0.6)
    sweep = scipy.signal.chirp(time % 1.7, 200, 1.7, 3500)
    sounds = [white, pink, brown, hum + 0.05 * white, beeps + 1e-3 * white, sweep + 1e-3 * white]
    return [(0.1 * sound / sound.std()).astype(np.float32) for sound in sounds]


class Targets:
    """Writes what Whisper should say of a window, in one of the ways that Whisper is asked."""

    def __init__(self, ids: Ids, random: np.random.Generator, window: int) -> None:
        self._ids = ids
        self._random = random
        self._window = window
        self.longest_prompt = 4  # words
        self._pieces = {name: ids.word(name) for name in NAMES}

    def of_speech(
        self, features: NDArray[np.float32], heard: list[Heard], *, timed: bool, cut: bool
    ) -> Example:
        """Where `cut`, the last word is but begun: only its start is said, as OpenAI trained it."""
        frames = np.zeros(self._window * STEPS, np.int64)
        for word in heard:
            frames[round(word.start * STEPS) : round(word.end * STEPS)] = NAMES.index(word.text) + 1
        said = self._segments(heard, cut) if timed else self._plain(heard)
        prompt, labels = self._opening(timed)
        looks = {len(prompt) + index - 1: span for index, (_, span) in enumerate(said)}
        body = [token for token, _ in said]
        return Example(features, prompt + body[:-1], labels + body, looks, frames)

    def of_silence(self, features: NDArray[np.float32]) -> Example:
        """No speech after the start token; after a prompt that goes on, nothing but the end."""
        ids, random = self._ids, self._random
        frames = np.zeros(self._window * STEPS, np.int64)
        kind = random.random()
        prompt = self._previous() if random.random() < 0.2 else []
        ignored = [IGNORED] * len(prompt)
        tokens = [*prompt, ids.start]
        labels = [*ignored, ids["nospeech"]]
        if kind < 0.5:
            return Example(features, tokens, labels, frames=frames)
        labels = [*ignored, IGNORED]
        if random.random() < 0.6:
            tokens += [ids["en"], ids["transcribe"]]
            labels += [ids["transcribe"], IGNORED]
        if kind < 0.75:
            any_time = ids.time(random.uniform(0, 1))
            if labels[-1] == IGNORED and len(labels) > len(ignored) + 1:
                labels[-1] = ids.time(0)
                any_time = ids.time(0)
            tokens += [any_time]
            labels += [ids.end]
        else:
            # Where a blank start is suppressed, a bare time says nothing.
            blank = random.random() < 0.5
            tokens += [ids.no_timestamps, *([ids.time(0)] if blank else [])]
            labels += [ids.time(0), ids.end] if blank else [ids.end]
        return Example(features, tokens, labels, frames=frames)

    def _opening(self, timed: bool) -> tuple[list[int], list[int]]:
        """The tokens before the text, and their labels but for the last one's."""
        ids, random = self._ids, self._random
        prompt = self._previous() if random.random() < 0.3 else []
        tokens = [*prompt, ids.start]
        if random.random() < 0.6:
            tokens += [ids["en"], ids["transcribe"]]
        labels = [IGNORED] * len(prompt) + tokens[len(prompt) + 1 :]
        if not timed:
            labels += [ids.no_timestamps if len(tokens) > len(prompt) + 1 else IGNORED]
            tokens += [ids.no_timestamps]
        return tokens, labels

    def _previous(self) -> list[int]:
        """<|startofprev|> and some words."""
        words = self._random.choice(NAMES, int(self._random.integers(1, self.longest_prompt + 1)))
        return [self._ids["startofprev"], *(piece for w in words for piece in self._pieces[w])]

    def _plain(self, heard: list[Heard]) -> list[tuple[int, Span]]:
        said: list[tuple[int, Span]] = []
        for word, (before, after) in zip(heard, self._surroundings(heard), strict=True):
            said += self._word(word, before, after)
        return [*said, (self._ids.end, self._rest(heard))]

    def _segments(self, heard: list[Heard], cut: bool) -> list[tuple[int, Span]]:
        said: list[tuple[int, Span]] = []
        around = self._surroundings(heard)
        for index, (word, (before, after)) in enumerate(zip(heard, around, strict=True)):
            if index == 0 or word.start - heard[index - 1].end >= JOIN:
                said.append((self._ids.time(word.start), (before, word.start + 0.06)))
            last = index == len(heard) - 1
            if last and cut:
                break
            said += self._word(word, word.start, word.end)
            if last or heard[index + 1].start - word.end >= JOIN:
                said.append((self._ids.time(word.end), (word.end - 0.06, after)))
        return [*said, (self._ids.end, self._rest(heard))]

    def _word(self, word: Heard, before: float, after: float) -> list[tuple[int, Span]]:
        """The first piece looks at the word's first quarter, the second at the rest."""
        middle = word.start + 0.25 * (word.end - word.start)
        first, second = self._pieces[word.text]
        return [(first, (before, middle)), (second, (middle, after))]

    def _surroundings(self, heard: list[Heard]) -> list[Span]:
        """For each word from where to where it is nearest, at most TAIL away."""
        middles = [
            (left.end + right.start) / 2 for left, right in zip(heard, heard[1:], strict=False)
        ]
        befores = [0.0, *middles]
        afters = [*middles, float(self._window)]
        return [
            (max(before, word.start - TAIL), min(after, word.end + TAIL))
            for word, before, after in zip(heard, befores, afters, strict=True)
        ]

    def _rest(self, heard: list[Heard]) -> Span:
        start = min(heard[-1].end + 0.04, self._window - 0.1)
        return start, min(start + TAIL, self._window)
