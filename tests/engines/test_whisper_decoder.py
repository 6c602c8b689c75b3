"""Whisper's batches over a Backend that is read from the waveforms: what belongs to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speechkit.engines.asr.whisper.backend import Alignment, Draft, Search
from speechkit.engines.asr.whisper.decoder import Whisper
from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.asr.whisper.vocabulary import Vocabulary
from speechkit.engines.protocols import Clip
from speechkit.errors import UsageError
from vocabularykit import tokenizer

WINDOW = 3  # seconds
LANGUAGES = ("en", "de", "fr")
WORDS = ("one", "two", "three", "four")


def clip(
    language: str,
    word: str,
    seconds: float = 1.0,
    *,
    speech: float | None = None,
    sure: float = 1.0,
    told: str | None = None,
) -> Clip:
    """Its first samples say what a model would hear in it, and how sure it is of the language."""
    samples = np.zeros(round(seconds * 16_000), np.float32)
    samples[:3] = (LANGUAGES.index(language) + 1) / 10, WORDS.index(word) / 10, sure
    return Clip(samples, seconds if speech is None else speech, told)


SILENCE = Clip(np.zeros(16_000, np.float32), 0.0)


class Reading:
    """A `Backend` of three seconds; where more than ``fits`` windows are decoded at once, its
    memory runs out, after their languages were told. ``decoded``: (prompts, search).
    ``drafts``: what it says at each temperature instead of the word."""

    chunk, longest, device, compute_type, detects = float(WINDOW), 100, "cpu", "float32", True
    context = 0.0
    windows_a_row = 2
    parts: Mapping[str, float] = {}

    def __init__(
        self, fits: int = 99, drafts: dict[float, tuple[str, float]] | None = None
    ) -> None:
        self.vocabulary = Vocabulary(tokenizer(), multilingual=True)
        self.fits = fits
        self.drafts = drafts or {}
        self.decoded: list[tuple[int, Search]] = []
        self.limits: list[int] = []

    def batch_size(self, beams: int, tried: int = 0) -> int:
        return 4

    def window(self, seconds: float) -> float:
        return self.chunk

    def features(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack([waveform[:3] for waveform in waveforms])

    def longer_window(self, waveform: NDArray[np.float32]) -> NDArray[np.float32] | None:
        return None

    def encode(self, features: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
        return features

    def languages(self, encoded: NDArray[np.float32]) -> list[dict[str, float]]:
        found = []
        for language, _, sure in encoded:
            shares = dict.fromkeys(LANGUAGES, float(1 - sure) / len(LANGUAGES))
            shares[LANGUAGES[round(language * 10) - 1]] += float(sure)
            found.append(shares)
        return found

    def decode(
        self,
        encoded: NDArray[np.float32],
        prompts: list[list[int]],
        search: Search,
        limits: list[int],
        rows: int,
    ) -> list[Draft]:
        if min(rows, len(encoded)) > self.fits:
            raise MemoryError
        self.decoded.append((len(encoded), search))
        self.limits += limits
        texts = [
            self.drafts.get(search.temperature, (WORDS[round(row[1] * 10)], -0.1))
            for row in encoded
        ]
        return [Draft(self.vocabulary.context(text, 99)[1:], sure, 0.0) for text, sure in texts]

    def align(
        self,
        encoded: NDArray[np.float32],
        start: list[int],
        texts: list[list[int]],
        seconds: list[float],
    ) -> list[Alignment]:
        """Each token as long as the others."""
        return [
            Alignment(
                [at * length / max(1, len(text)) for at in range(len(text) + 1)], [0.9] * len(text)
            )
            for text, length in zip(texts, seconds, strict=True)
        ]

    def out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)

    def free_memory(self) -> None: ...


UTTERANCES = [
    [clip("de", "one")],
    [SILENCE, clip("fr", "two"), clip("en", "three")],
    [],
    [clip("en", "four"), clip("de", "one"), clip("de", "two"), clip("de", "three")],
    [SILENCE],
    [clip("de", "four")],
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
    assert [count for count, _ in backend.decoded] == [1] * 8
    assert len({search.seed for _, search in backend.decoded}) == 7  # two windows sound alike


def heard(whisper: Whisper, *clips: Clip) -> list[tuple[str | None, str]]:
    (found,) = whisper.transcribe([clips])
    return [(one.language, one.text) for one in found]


def test_the_language_is_that_of_the_clip_with_speech() -> None:
    """Though others come before it, and though it is decoded in a later batch."""
    noise = [clip("fr", "one", 3.0, speech=0.1, sure=0.2) for _ in range(6)]
    german = clip("de", "two", 3.0, speech=2.5)
    found = heard(Whisper(Reading(), WhisperOptions()), *noise, german)
    assert {language for language, _ in found} == {"de"}


def test_where_a_clip_leaves_the_language_in_doubt_others_are_asked() -> None:
    unsure = clip("fr", "one", 3.0, sure=0.1)
    found = heard(Whisper(Reading(), WhisperOptions()), unsure, clip("de", "two", 2.0))
    assert {language for language, _ in found} == {"de"}


def test_the_languages_that_are_allowed() -> None:
    options = WhisperOptions(language="de,en")
    found = heard(Whisper(Reading(), options), clip("fr", "one"), clip("en", "two", 0.5))
    assert {language for language, _ in found} <= {"de", "en"}


def test_the_language_of_each_clip() -> None:
    whisper = Whisper(Reading(), WhisperOptions(language="each"))
    assert heard(whisper, clip("fr", "one"), clip("en", "two"), clip("de", "three")) == [
        ("fr", "one"),
        ("en", "two"),
        ("de", "three"),
    ]


def test_a_language_that_is_told_is_not_asked_for() -> None:
    assert heard(Whisper(Reading(), WhisperOptions()), clip("fr", "one", told="de")) == [
        ("de", "one")
    ]


@pytest.mark.parametrize("text", ["klingon", "", ",", "de,klingon"])
def test_what_is_no_language(text: str) -> None:
    with pytest.raises(UsageError, match="--language"):
        Whisper(Reading(), WhisperOptions(language=text))


def flags(drafts: dict[float, tuple[str, float]]) -> tuple[str, tuple[str, ...]]:
    whisper = Whisper(Reading(drafts=drafts), WhisperOptions(temperature=(0.0, 0.4, 1.0)))
    (((hypothesis,)),) = whisper.transcribe([[clip("en", "one", 3.0)]])
    (segment,) = hypothesis.segments
    return str(segment.text), segment.flags


def test_doubts_are_decoded_again_until_there_is_none() -> None:
    assert flags({0.0: ("one", -2.0), 0.4: ("two", -0.5)}) == ("two", ())


def test_nothing_is_left_to_chance_before_a_wider_search() -> None:
    doubtful = dict.fromkeys((0.0, 0.4), ("one", -2.0))
    for beams, searched in ((1, [1, 5]), (5, [5])):
        backend = Reading(drafts=doubtful)
        options = WhisperOptions(beam_size=beams, temperature=(0.0, 0.4))
        list(Whisper(backend, options).transcribe([[clip("en", "one", 3.0)]]))
        assert [one.temperature for _, one in backend.decoded] == [0.0] * len(searched) + [0.4]
        assert [one.beams for _, one in backend.decoded] == [*searched, 1]
    once = Reading(drafts=doubtful)
    options = WhisperOptions(temperature=(0.0,))
    list(Whisper(once, options).transcribe([[clip("en", "one", 3.0)]]))
    assert len(once.decoded) == 1


class Shortened(Reading):
    """Where a window is shortened, it hears ``short``; else the word."""

    def __init__(self, short: tuple[str, float]) -> None:
        super().__init__()
        self.short = short
        self.windows: list[str] = []

    def longer_window(self, waveform: NDArray[np.float32]) -> NDArray[np.float32] | None:
        return np.append(waveform[:3], 0)[None]

    def decode(self, encoded: NDArray[np.float32], *rest: Any, **named: Any) -> list[Draft]:
        is_short = encoded.shape[1] == 3
        self.windows.append("short" if is_short else "long")
        self.drafts = dict.fromkeys((0.0, 0.4), self.short) if is_short else {}
        return super().decode(encoded, *rest, **named)


@pytest.mark.parametrize(
    ("short", "windows", "text"),
    [
        (("two", -0.8), ["short"], "two"),
        (("two", -0.95), ["short", "long"], "one"),  # in doubt in its own window
        (("two", -2.0), ["short", "long"], "one"),
        (("two " * 20, -0.1), ["short", "long"], "one"),
    ],
)
def test_what_is_unsure_in_a_shortened_window_is_decoded_in_the_longest(
    short: tuple[str, float], windows: list[str], text: str
) -> None:
    backend = Shortened(short)
    whisper = Whisper(backend, WhisperOptions(temperature=(0.0, 0.4)))
    (((hypothesis,)),) = whisper.transcribe([[clip("en", "one", 3.0)]])
    assert (backend.windows, hypothesis.text) == (windows, text)


def test_nobody_waits_for_a_longer_window() -> None:
    """Neither a live listener, nor those who want no second draft."""
    live = Shortened(("two", -0.95))
    options = WhisperOptions(temperature=(0.0, 0.4))
    Whisper(live, options).live().hear(clip("en", "one", 3.0), [], ended=True)
    once = Shortened(("two", -0.95))
    list(Whisper(once, WhisperOptions(temperature=(0.0,))).transcribe([[clip("en", "one", 3.0)]]))
    assert live.windows == once.windows == ["short"]


def test_of_doubtful_drafts_the_likeliest_is_kept_and_flagged() -> None:
    drafts = {0.0: ("one", -1.5), 0.4: ("two", -1.2), 1.0: ("three", -3.0)}
    assert flags(drafts) == ("two", ("doubtful",))


def test_what_repeats_itself_is_kept_only_where_all_does() -> None:
    again = "one two " * 12
    drafts = {0.0: (again, -0.1), 0.4: ("two", -2.0), 1.0: (again, -0.2)}
    assert flags(drafts) == ("two", ("doubtful",))
    text, found = flags(dict.fromkeys((0.0, 0.4, 1.0), (again, -0.1)))
    assert found == ("hallucination",)
    assert len(text) < len(again)


def test_a_draft_is_no_longer_than_its_clip_has_room_for() -> None:
    backend = Reading()
    list(Whisper(backend, WhisperOptions()).transcribe([[clip("en", "one", 0.5)]]))
    assert max(backend.limits) < 40


def test_the_last_bit_of_a_word_comes_after_the_decoder_has_left_it() -> None:
    """A quarter of it, which its share of the text tells."""
    whisper = Whisper(Reading(drafts={0.0: ("three one", -0.1)}), WhisperOptions())
    (((hypothesis,)),) = whisper.transcribe([[clip("en", "one", 1.2)]])
    three, one = hypothesis.segments[0].words
    assert three.start == 0.0
    assert one.start == three.end > 0.7
