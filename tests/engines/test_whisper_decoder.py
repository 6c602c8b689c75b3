"""Whisper's batches over a Backend that is read from the waveforms: what belongs to whom."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speechkit.engines.asr.whisper.backend import Alignment, Draft
from speechkit.engines.asr.whisper.decoder import Whisper, WhisperOptions
from speechkit.engines.asr.whisper.vocabulary import Vocabulary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from tiny_models.whisper_text import build_tokenizer

WINDOW = 3  # seconds
LANGUAGES = ("en", "de", "fr")
WORDS = ("one", "two", "three", "four")


def window(language: str, word: str, seconds: float = 1.0) -> NDArray[np.float32]:
    """Its first samples say what a model would hear in it."""
    samples = np.zeros(round(seconds * 16_000), np.float32)
    samples[:2] = (LANGUAGES.index(language) + 1) / 10, WORDS.index(word) / 10
    return samples


SILENCE: NDArray[np.float32] = np.zeros(16_000, np.float32)


class Reading:
    """A `Backend` of three seconds; where more than ``fits`` windows are decoded at once, its
    memory runs out, after their languages were told. ``decoded``: (prompts, temperature, seed)."""

    chunk, longest, device, compute_type, detects = float(WINDOW), 100, "cpu", "float32", True

    def __init__(self, fits: int = 99) -> None:
        self.vocabulary = Vocabulary(build_tokenizer(WINDOW).backend_tokenizer, multilingual=True)
        self.fits = fits
        self.decoded: list[tuple[int, float, int]] = []

    def batch_size(self) -> int:
        return 4

    def features(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack([waveform[:2] for waveform in waveforms])

    def encode(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return features

    def languages(self, encoded: NDArray[np.float32]) -> list[str]:
        return [LANGUAGES[round(row[0] * 10) - 1] for row in encoded]

    def decode(
        self, encoded: NDArray[np.float32], prompts: list[list[int]], temperature: float, seed: int
    ) -> list[Draft]:
        if len(encoded) > self.fits:
            raise MemoryError
        self.decoded.append((len(encoded), temperature, seed))
        return [
            Draft(self.vocabulary.context(WORDS[round(row[1] * 10)], 9)[1:], -0.1, 0.0)
            for row in encoded
        ]

    def align(self, *_: object) -> list[Alignment]:
        raise NotImplementedError

    def out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)

    def free_memory(self) -> None: ...


UTTERANCES = [
    [window("de", "one")],
    [SILENCE, window("fr", "two"), window("en", "three")],
    [],
    [window("en", "four"), window("de", "one"), window("de", "two"), window("de", "three")],
    [SILENCE],
    [window("de", "four")],
]
EXPECTED = [
    [("de", "one")],
    [(None, ""), ("fr", "two"), ("fr", "three")],
    [],
    [("en", "four"), ("en", "one"), ("en", "two"), ("en", "three")],
    [(None, "")],
    [("de", "four")],
]


@pytest.mark.parametrize("size", [1, 2, 3, 16])
@pytest.mark.parametrize("fits", [1, 2, 99])
def test_each_utterance_has_the_language_of_its_first_speech(size: int, fits: int) -> None:
    """Whatever it is batched with, and though memory runs out."""
    whisper = Whisper(Reading(fits), WhisperOptions(batch_size=size))
    found = [
        [(one.language, one.text) for one in heard] for heard in whisper.transcribe(UTTERANCES)
    ]
    assert found == EXPECTED


def test_what_is_sampled_is_alone() -> None:
    backend = Reading()
    whisper = Whisper(backend, WhisperOptions(temperature=(0.7,), batch_size=16))
    list(whisper.transcribe(UTTERANCES))
    assert [count for count, _, _ in backend.decoded] == [1] * 8
    assert len({seed for _, _, seed in backend.decoded}) == 7  # two windows sound alike


def test_a_long_waveform_keeps_its_language_in_sequence() -> None:
    long = np.concatenate([SILENCE[:100], window("de", "one", 3), window("fr", "two", 3)])
    long[:2] = window("de", "one")[:2]
    whisper = Whisper(Reading(), WhisperOptions())
    (((first,)), ((second,))) = whisper.transcribe([[long], [window("en", "four")]])
    assert first.language == "de"
    assert second.language == "en"
