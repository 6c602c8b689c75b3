"""Windows of digits over noise for Whisper to train on, joined in the mel domain.

Mel power is additive (but for cross terms), so that a recording's spectrogram is computed once and
a window of several words costs a few additions instead of a Fourier transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

from .digits import RATE, Heard, Samples, Word

FRAMES = 100  # mel frames a second
EDGE = 2  # frames of a recording's spectrogram before its first sample, and at least after its last
MELS = 80
LONGEST = 6  # words in a window

Power = NDArray[np.float32]  # (frames, mels)


@dataclass(frozen=True)
class Window:
    """Whisper's features, (mels, frames), and the words; where `cut`, the last is but begun."""

    features: NDArray[np.float32]
    heard: tuple[Heard, ...] = ()
    cut: bool = False


class Sounds:
    """Mel power of recordings and noises, by a feature extractor's own filters."""

    def __init__(
        self,
        words: list[Word],
        noises: list[Samples],
        extractor: WhisperFeatureExtractor,
        seed: int,
    ) -> None:
        self._filters = np.asarray(extractor.mel_filters, np.float32)
        self._taper = scipy.signal.get_window("hann", extractor.n_fft).astype(np.float32)
        self._hop = extractor.hop_length
        random = np.random.default_rng(seed)
        self.words = [
            (word.text, self._power(_full_scale(word.samples), int(random.integers(self._hop))))
            for word in words
        ]
        self.noises = [self._power(noise) for noise in [*noises, *_synthetic_noises(random)]]

    def _power(self, samples: Samples, shift: int = 0) -> Power:
        """Of the samples amid silence; the first is `shift` samples after the centre of a frame."""
        margin = EDGE * self._hop + len(self._taper) // 2
        padded = np.pad(samples, (margin + shift, margin))
        pieces = np.lib.stride_tricks.sliding_window_view(padded, len(self._taper))[:: self._hop]
        spectrum = np.abs(scipy.fft.rfft(pieces * self._taper))
        power: Power = spectrum**2 @ self._filters
        return power


class Mixer:
    """Draws windows of `seconds`: words at known places over a background."""

    def __init__(self, sounds: Sounds, seconds: int, random: np.random.Generator) -> None:
        self._sounds = sounds
        self._seconds = seconds
        self._size = seconds * FRAMES
        self._random = random

    def draw(self) -> Window:
        """Silence, a word, or several, of which the window's end may cut the last."""
        kind = self._random.random()
        if kind < 0.12:
            return self.silence()
        if kind < 0.35:
            return self.speech(1, cut=False)
        count = int(self._random.integers(2, LONGEST + 1))
        return self.speech(count, cut=self._random.random() < 0.2)

    def silence(self) -> Window:
        """No words: nothing, or noises at any level."""
        power = np.zeros((self._size, MELS), np.float32)
        for _ in range(self._random.integers(4)):
            power += self._noise(self._random.uniform(-60, 0)) * self._envelope()
        return Window(_log_mel(power))

    def speech(self, most: int, *, cut: bool) -> Window:
        """As many words as fit, at most `most`; where `cut`, one more may be begun."""
        random = self._random
        power = np.zeros((self._size + 2 * FRAMES, MELS), np.float32)
        tilt = self._tilt(0.2)
        widest = random.choice((0.25, 0.8))  # seconds between words
        start = 0.0 if random.random() < 0.2 else random.uniform(0, 1.2 if most < 3 else 0.5)
        heard: list[Heard] = []
        while len(heard) < most:
            text, recording = self._sounds.words[random.integers(len(self._sounds.words))]
            mel, seconds = self._spoken(recording)
            over = start + seconds > self._seconds
            if over and not (cut and start + 0.1 < self._seconds):
                break
            self._add(power, mel * tilt, round(start * FRAMES))
            heard.append(Heard(text, start, min(start + seconds, self._seconds)))
            if over:
                return Window(self._finish(power), tuple(heard), cut=True)
            gap = random.uniform(0.05, widest)
            start = np.ceil((start + seconds + gap) * FRAMES) / FRAMES
        return Window(self._finish(power), tuple(heard))

    def _spoken(self, recording: Power) -> tuple[Power, float]:
        """The recording at another speed and vocal tract length, and its seconds."""
        speed, tract = self._random.uniform(0.87, 1.15), self._random.uniform(0.96, 1.04)
        seconds = (len(recording) - 2 * EDGE - 1) / FRAMES / speed
        places = EDGE + np.arange(-EDGE, int(seconds * FRAMES) + EDGE + 1) * speed
        stretched = _interpolate(recording, places)
        return _interpolate(stretched.T, np.arange(MELS) * tract).T, seconds

    def _add(self, power: Power, mel: Power, frame: int) -> None:
        """In place; the word's first sample comes at `frame`."""
        skip = max(0, EDGE - frame)
        place = power[frame - EDGE + skip : frame - EDGE + len(mel)]
        place += mel[skip : skip + len(place)] * np.float32(10 ** self._random.uniform(-0.6, 0))

    def _finish(self, power: Power) -> NDArray[np.float32]:
        """Features, with a background and at some level."""
        power = power[: self._size]
        if self._random.random() < 0.7:
            power = power + self._noise(self._random.uniform(-75, -22))
        return _log_mel(power * np.float32(10 ** self._random.uniform(-3, 0.3)))

    def _tilt(self, spread: float) -> Power:
        """A smooth random equaliser of `spread` bels, (mels,)."""
        knots = self._random.normal(0, spread, 6)
        return (10 ** np.interp(np.linspace(0, 5, MELS), np.arange(6), knots)).astype(np.float32)

    def _noise(self, level: float) -> Power:
        """A window of noise; at `level` 0 dB it is about as loud as a word's loudest frame."""
        noise = self._sounds.noises[self._random.integers(len(self._sounds.noises))]
        begin = self._random.integers(len(noise) - self._size)
        piece = noise[begin : begin + self._size]
        scale = 10 ** (level / 10) / max(float(piece.mean()), 1e-9)
        result: Power = piece * self._tilt(0.7) * np.float32(scale)
        return result

    def _envelope(self) -> Power:
        """A gain over time, (frames, 1): none, or wandering over tens of dB, or a burst."""
        kind = self._random.random()
        times = np.linspace(0, 1, self._size)
        if kind < 0.3:
            gains = np.ones(self._size)
        elif kind < 0.7:
            knots = self._random.normal(0, 1, self._random.integers(3, 16))
            gains = 10 ** np.interp(times, np.linspace(0, 1, len(knots)), knots)
        else:
            begin, length = self._random.uniform(0, 0.8), self._random.uniform(0.05, 0.6)
            gains = (times >= begin) & (times < begin + length)
        return gains.astype(np.float32)[:, None]


def _full_scale(samples: Samples) -> Samples:
    """The samples, their peak at 1."""
    return samples / max(float(np.abs(samples).max()), 1e-4)


def _interpolate(rows: Power, places: NDArray[np.float64]) -> Power:
    """The rows at fractional places, linearly."""
    places = np.clip(places, 0, len(rows) - 1)
    low = np.minimum(places.astype(np.int64), len(rows) - 2)
    part = (places - low).astype(np.float32)[:, None]
    result: Power = rows[low] * (1 - part) + rows[low + 1] * part
    return result


def _log_mel(power: Power) -> NDArray[np.float32]:
    """Whisper's features of a window, (mels, frames)."""
    log = np.log10(np.maximum(power, 1e-10))
    return ((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).T


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
