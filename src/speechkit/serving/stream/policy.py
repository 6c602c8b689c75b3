"""Which words of a hypothesis are final while the speech goes on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from speechkit.serving.stream.options import AGREEMENT

if TYPE_CHECKING:
    from speechkit.engines.protocols import LiveHypothesis
    from speechkit.records import Word
    from speechkit.serving.stream.options import StreamOptions


def final_words(
    hypothesis: LiveHypothesis, previous: Sequence[Word], heard: float, options: StreamOptions
) -> int:
    """The number of leading words that are final, of a hypothesis on ``heard`` seconds of audio.

    `ATTENTION`: those that end ``margin`` seconds before the end of the audio, by the decoder's
    attention to it (S. Papi et al., "AlignAtt", 2023). `AGREEMENT`: those of them that the
    ``previous`` hypothesis has as well (D. Macháček et al., "Turning Whisper into Real-Time
    Transcription System", 2023). None of a hypothesis in doubt but those the decoder promises.
    """
    words = hypothesis.words
    if hypothesis.flags:
        return hypothesis.stable
    latest = heard - options.margin
    found = sum(1 for _ in takewhile(lambda word: word.end <= latest, words))
    if options.policy == AGREEMENT:
        pairs = zip(words[:found], previous, strict=False)
        found = sum(1 for _ in takewhile(lambda pair: pair[0].bare == pair[1].bare, pairs))
    return max(found, hypothesis.stable)
