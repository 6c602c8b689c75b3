"""Strings of digits over noise for NeMo models to train on, joined in the time domain."""

from __future__ import annotations

import numpy as np

from .digits import RATE, Heard, Samples, Word

LONGEST = 6  # words in a string


class Mixer:
    """Draws recordings of one or more words, and at times of none."""

    def __init__(self, words: list[Word], noises: list[Samples], seed: int) -> None:
        self._words = [(word.text, _full_scale(word.samples)) for word in words]
        self._noises = [_full_scale(noise) for noise in noises]
        self._random = np.random.default_rng(seed)

    def draw(self) -> tuple[Samples, list[Heard]]:
        """16 kHz mono samples and the words in them."""
        random = self._random
        kind = random.random()
        count = 0 if kind < 0.05 else 1 if kind < 0.65 else int(random.integers(2, LONGEST + 1))
        tight = random.random() < 0.5  # recordings often begin and end with their words
        parts = [self._pause(0.0 if tight else 0.4)]
        heard: list[Heard] = []
        at = len(parts[0])
        for _ in range(count):
            text, samples = self._words[random.integers(len(self._words))]
            word, pause = self._spoken(samples), self._pause(0.5)
            heard.append(Heard(text, at / RATE, (at + len(word)) / RATE))
            parts += [word, pause]
            at += len(word) + len(pause)
        if tight and count:
            parts.pop()
        if not count:
            parts.append(self._pause(2.0, least=0.3))
        return self._finish(np.concatenate(parts)), heard

    def _pause(self, longest: float, *, least: float = 0.0) -> Samples:
        return np.zeros(round(RATE * self._random.uniform(least, max(least, longest))), np.float32)

    def _spoken(self, samples: Samples) -> Samples:
        """At another speed and level."""
        length = round(len(samples) / self._random.uniform(0.87, 1.15))
        places = np.linspace(0, len(samples) - 1, length)
        louder = np.float32(10 ** self._random.uniform(-0.4, 0))
        return louder * np.interp(places, np.arange(len(samples)), samples).astype(np.float32)

    def _finish(self, samples: Samples) -> Samples:
        """With a background, at some level."""
        random = self._random
        if self._noises and random.random() < 0.6:
            noise = self._noises[random.integers(len(self._noises))]
            start = int(random.integers(max(1, len(noise) - len(samples))))
            samples = samples + np.resize(noise[start:], len(samples)) * np.float32(
                10 ** random.uniform(-3, -0.8)
            )
        hiss = random.standard_normal(len(samples), np.float32) * 10 ** random.uniform(-5, -2.5)
        mixed: Samples = ((samples + hiss) * 10 ** random.uniform(-1, -0.1)).astype(np.float32)
        return mixed


def _full_scale(samples: Samples) -> Samples:
    return samples / max(float(np.abs(samples).max()), 1e-4)
