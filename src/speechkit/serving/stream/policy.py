"""Which words of a hypothesis are final while the speech goes on."""

from __future__ import annotations

import string
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from speechkit.records import Word
from speechkit.serving.stream.options import AGREEMENT

if TYPE_CHECKING:
    from speechkit.engines.protocols import LiveHypothesis
    from speechkit.serving.stream.options import StreamOptions


def final_words(
    hypothesis: LiveHypothesis, previous: Sequence[Word], heard: float, options: StreamOptions
) -> int:
    """The number of leading words that are final, of a hypothesis on ``heard`` seconds of audio.

    `ATTENTION`: those that end ``margin`` seconds before the end of the audio, by the decoder's
    attention to it (S. Papi et al., "AlignAtt", 2023). `AGREEMENT`: of these, those that the
    ``previous`` hypothesis has as well (D. Macháček et al., "Turning Whisper into Real-Time
    Transcription System", 2023). None of a hypothesis in doubt but those the decoder promises.
    """
    if hypothesis.flags:
        return hypothesis.stable
    latest = heard - options.margin
    words = list(takewhile(lambda word: word.end <= latest, hypothesis.words))
    if options.policy == AGREEMENT:
        pairs = zip(words, previous, strict=False)
        words = [word for word, _ in takewhile(lambda pair: _agree(*pair), pairs)]
    return max(len(words), hypothesis.stable)


def _agree(word: Word, other: Word) -> bool:
    """Whether two words are the same but for case and punctuation."""
    return _bare(word) == _bare(other)


def _bare(word: Word) -> str:
    return word.text.casefold().strip(string.punctuation)
