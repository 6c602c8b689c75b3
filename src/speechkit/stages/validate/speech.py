"""Speech and noise by voice activity detection: how much speech there is, and the SNR."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.io.audio import Audio

SPEECH = 0.5  # probability from which a frame is speech
NOISE = 0.2  # and below which it is none, where neither neighbour is
LEAST = 0.2  # seconds of speech, and of noise if it is to be measured between the speech
SHORTEST = 1.0  # seconds of which a SNR can be told
QUIETEST = 5  # percent of the frames that are noise where speech has no pauses
LEAST_NOISE = 0.1  # of the noise, that remains without its hum
HIGHEST = 100.0  # dB: digital silence between the words
NOT_HEARD: Mapping[str, Any] = {"speech": 0.0, "speech_share": 0.0, "snr": None}


def speech_measures(
    audio: Audio, probabilities: NDArray[np.float32], hop: float, hum: float | None
) -> dict[str, Any]:
    """``probabilities`` [frames], ``hop`` seconds apart; ``hum`` as `Spectrum.hum` gives it."""
    is_speech = probabilities >= SPEECH
    seconds = min(float(is_speech.sum()) * hop, audio.seconds)
    line = {"speech": seconds, "speech_share": seconds / audio.seconds, "snr": None}
    if min(audio.seconds - SHORTEST, seconds - LEAST) < 0:
        return line
    powers = np.concatenate(list(_powers(audio, round(hop * SAMPLE_RATE))))
    noise = _noise(powers, probabilities, math.ceil(LEAST / hop))
    if hum is not None:
        noise = max(noise - float(powers.mean()) * 10 ** (hum / 10), LEAST_NOISE * noise)
    loud = float(powers[is_speech].mean())
    noise = max(noise, loud * 10 ** (-HIGHEST / 10))
    return {**line, "snr": 10 * math.log10(max(loud - noise, noise / 1000) / noise)}


def _noise(powers: NDArray[np.float64], probabilities: NDArray[np.float32], least: int) -> float:
    """The median power of frames between the speech; the end of a word may still be among them."""
    quiet = probabilities < NOISE
    quiet[1:] &= probabilities[:-1] < SPEECH
    quiet[:-1] &= probabilities[1:] < SPEECH
    if np.count_nonzero(quiet) < least:
        return float(np.percentile(powers, QUIETEST))
    return float(np.median(powers[quiet]))


def _powers(audio: Audio, size: int) -> Iterator[NDArray[np.float64]]:
    """The mean squares of frames, without their mean: an offset is no sound."""
    for stretch in audio.stretches():
        padded = np.pad(stretch, (0, -len(stretch) % size)).reshape(-1, size)
        squares = np.einsum("fs,fs->f", padded, padded, dtype=np.float64) / size
        yield np.maximum(squares - np.square(padded.mean(axis=1, dtype=np.float64)), 0)
