"""Changes of training audio by chance: speed, noise and gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import UsageError
from speechkit.io.inputs import walk
from speechkit.training.options import Augmentation

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

FRAME = SAMPLE_RATE // 50
PAUSE = 1e-3  # of the power of the loudest frame, -30 dB: what is below is no speech


def chance(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one use of an utterance, the same however often it is asked for."""
    seeds = np.random.SeedSequence(seed, spawn_key=(epoch, index))
    return np.random.Generator(np.random.Philox(seeds))


def find_noises(augmentation: Augmentation) -> tuple[str, ...]:
    """The files of noise. Raise `UsageError` where the folder has none."""
    folder = augmentation.noise
    if folder is None:
        return ()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of noise")
    noises = walk(str(folder))
    if not noises:
        raise UsageError(f"{folder}: no audio in this folder of noise")
    return tuple(noises)


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Changes utterances of at most ``longest`` samples. ``noises``: files, one of which is drawn
    for each."""

    options: Augmentation
    noises: Sequence[str]
    longest: int

    def changed(self, waveform: Waveform, chance: np.random.Generator) -> tuple[Waveform, float]:
        """The waveform as it comes out, and its speed.

        Louder than full scale, it is scaled down to it. Raise an ``Audio…`` error where the noise
        can't be read.
        """
        speed = 1.0
        if self.options.speed:
            speed = 1.0 + chance.uniform(-1, 1) * self.options.speed
            waveform, speed = self._at_speed(waveform, speed)
        if self.noises:
            waveform = self._with_noise(waveform, chance)
        if self.options.gain:
            waveform = waveform * 10 ** (chance.uniform(-1, 1) * self.options.gain / 20)
        if self.options != Augmentation(spec_augment=self.options.spec_augment):
            waveform = waveform / max(1.0, float(np.abs(waveform).max(initial=0.0)))
        return waveform.astype(np.float32, copy=False), speed

    def _at_speed(self, waveform: Waveform, speed: float) -> tuple[Waveform, float]:
        """As a tape at another speed: tempo and pitch change together.

        Unchanged where it would become longer than an utterance may be.
        """
        import soxr

        if len(waveform) / speed > self.longest:
            return waveform, 1.0
        changed = soxr.resample(waveform, SAMPLE_RATE * speed, SAMPLE_RATE)
        return changed[: self.longest], speed

    def _with_noise(self, waveform: Waveform, chance: np.random.Generator) -> Waveform:
        """With a random stretch of a random file, repeated where it is shorter."""
        path = self.noises[int(chance.integers(len(self.noises)))]
        place, snr = chance.random(), chance.uniform(*self.options.snr)
        noise = _stretch(path, place, len(waveform))
        power = float(np.mean(np.square(noise, dtype=np.float64)))
        if not power:
            return waveform
        wanted = speech_power(waveform) / 10 ** (snr / 10)
        return waveform + noise * np.float32(np.sqrt(wanted / power))


def speech_power(waveform: Waveform) -> float:
    """The mean square of the frames of 20 ms that are at most 30 dB below the loudest."""
    if len(waveform) < FRAME:
        return float(np.mean(np.square(waveform, dtype=np.float64)))
    frames = waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(powers[powers >= PAUSE * powers.max()].mean())


def _stretch(path: str, place: float, samples: int) -> Waveform:
    """``samples`` of a file; ``place``: where they begin, from 0 for its start to 1."""
    from speechkit.io import audio

    seconds = samples / SAMPLE_RATE
    spare = audio.probe(path).duration - seconds
    if spare <= 0:
        noise = audio.load(path, sample_rate=SAMPLE_RATE).waveform
        begin = int(place * len(noise))
        return np.resize(np.roll(noise, -begin), samples)
    noise = audio.load(
        path, offset=place * spare, duration=seconds, sample_rate=SAMPLE_RATE
    ).waveform
    return np.resize(noise, samples)
