"""The engine ``loudness`` for processes: `livekit.Loudness`, which takes LOUDNESS_SECONDS of wall
time for each hypothesis, live or of an utterance."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import entrypointkit
import livekit
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import Clip, LiveDecoder, LiveHypothesis
from speechkit.records import Hypothesis, Segment, Word, text_of

LETTERS = str.maketrans("0123456789", "abcdefghij")
INFO = EngineInfo(stage="asr", name="loudness", target="loudness:Loudness")


def declared(site: Path) -> dict[str, str]:
    """The variable of a process that has the engine, whose package is put into ``site``."""
    entrypointkit.declare(site, "loudness", {"loudness": "loudness:INFO"})
    return entrypointkit.path(site, Path(__file__).parent)


class Loudness(livekit.Loudness):
    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        """A segment of each clip, of which every third word is unsure. In letters: so many digits
        can't be said in a second."""
        for clips in utterances:
            heard = [self.live().hear(clip, (), ended=True).words for clip in clips]
            yield [Hypothesis(_segments(words), "en") for words in heard]

    def live(self) -> LiveDecoder:
        return _Decoder()


def _segments(words: Sequence[Word]) -> tuple[Segment, ...]:
    if not words:
        return ()
    graded = tuple(
        replace(word, text=word.text.translate(LETTERS), confidence=0.9 if number % 3 else 0.3)
        for number, word in enumerate(words)
    )
    return (Segment(words[0].start, words[-1].end, text_of(graded), graded),)


class _Decoder(livekit.LoudnessDecoder):
    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        time.sleep(float(os.environ.get("LOUDNESS_SECONDS", "0")))
        return super().hear(clip, said, ended=ended)
