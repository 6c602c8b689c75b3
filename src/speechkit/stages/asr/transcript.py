"""The transcript of one utterance, assembled from the hypotheses for its windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from speechkit.records import Hypothesis, Segment, Word, size_of, text_of
from speechkit.stages.asr.coverage import suspicious, unheard
from speechkit.stages.asr.speaker_turns import NO_TURNS, Extra, Turns
from speechkit.stages.asr.windows import Span, Window, within_a_stretch, within_speech

PAUSE = 0.5  # seconds: the shortest pause that separates segments
SENTENCE_END = (".", "?", "!", "。", "？", "！", "।", "؟", "…")
ABBREVIATION = 4  # characters of the longest, with its dot
CLOSING = "\"'”’»)]}"  # characters that may follow the end of a sentence


@dataclass(frozen=True, slots=True)
class Said:
    """A word at its place in the utterance, with the engine's segment as its ``source``.

    If the engine returns no word times, the "word" is the text of the whole segment.
    """

    word: Word
    source: Segment

    @property
    def middle(self) -> float:
        return (self.word.start + self.word.end) / 2

    def echoes(self, other: Said) -> bool:
        """Whether it is the same word, decoded twice."""
        overlaps = self.word.start < other.word.end and other.word.start < self.word.end
        return self.word.bare == other.word.bare and overlaps

    def at(self, start: float, end: float) -> Said:
        return replace(self, word=replace(self.word, start=start, end=end))


class Transcript:
    """The words of an utterance. ``speech``: spans of speech. All times in seconds of it."""

    def __init__(self, speech: Sequence[Span], turns: Turns = NO_TURNS) -> None:
        self._speech = speech
        self._turns = turns
        self._said: list[Said] = []

    @property
    def languages(self) -> Counter[str]:
        """The number of words by language, if the engine tells it."""
        return Counter(said.source.language for said in self._said if said.source.language)

    def language_at(self, time: float) -> str | None:
        """The language of the nearest word with a known one."""
        known = [said for said in self._said if said.source.language]
        nearest = min(known, key=lambda said: abs(said.middle - time), default=None)
        return nearest.source.language if nearest else None

    @property
    def text(self) -> str:
        return text_of(said.word for said in self._said)

    @property
    def is_spaced(self) -> bool:
        """Whether a space separates the text from text before it."""
        return not self._said or self._said[0].word.spaced

    def add(self, window: Window, hypothesis: Hypothesis) -> None:
        self._said += self._placed(window, hypothesis)

    def improve(self, hole: Span, window: Window, hypothesis: Hypothesis) -> None:
        """Replace the words in ``hole`` by those of a separate decoding, if these say more.

        Doubtful words don't replace words without doubt.
        """
        start, end = hole
        before, old, after = _divided(self._said, hole)
        beside = [*before[-1:], *after[:1]]
        new = [
            said.at(max(start, said.word.start), min(end, said.word.end))
            for said in self._placed(window, hypothesis)
            if start <= said.middle < end and not any(map(said.echoes, beside))
        ]
        if _size(new) > _size(old) and not (old and _in_doubt(new) and not _in_doubt(old)):
            self._said = [*before, *new, *after]

    def unheard(self) -> list[Span]:
        return unheard([said.word for said in self._said], self._speech)

    def suspicious(self) -> list[Span]:
        return suspicious([said.word for said in self._said], self._speech)

    def segments(self) -> list[Segment]:
        """The words in segments, with the times of their words.

        Segments end at pauses, at the ends of sentences, between turns with different keys and at
        the ends of the engine's segments.
        """
        groups: list[tuple[Extra, list[Said]]] = []
        for said in self._said:
            extra = self._turns.extra_at(said.word.start, said.word.end)
            if groups and extra == groups[-1][0] and not _parts(groups[-1][1][-1], said):
                groups[-1][1].append(said)
            else:
                groups.append((extra, [said]))
        return [_segment(group, extra) for extra, group in groups]

    def take_out_undivided(self) -> list[list[Span]]:
        """Remove texts without word times that extend over turns with different keys.

        Returns the spans of each such text, one per turn.
        """
        spans = {
            at: self._by_turn(said.word.start, said.word.end)
            for at, said in enumerate(self._said)
            if not said.source.words
        }
        undivided = {at: parts for at, parts in spans.items() if len(parts) > 1}
        if undivided:
            self._said = [said for at, said in enumerate(self._said) if at not in undivided]
        return list(undivided.values())

    def _by_turn(self, start: float, end: float) -> list[Span]:
        return list(pairwise([start, *self._turns.changes(start, end), end]))

    def _placed(self, window: Window, hypothesis: Hypothesis) -> list[Said]:
        placed: list[Said] = []
        for heard in hypothesis.segments:
            segment = replace(heard, language=heard.language or hypothesis.language)
            if segment.words:
                placed += [Said(self._in_speech(window, word), segment) for word in segment.words]
            elif segment.text:
                times = window.place(segment.start, segment.end)
                placed.append(
                    Said(Word(segment.text, *within_speech(*times, self._speech)), segment)
                )
        return placed

    def _in_speech(self, window: Window, word: Word) -> Word:
        start, end = within_a_stretch(*window.place(word.start, word.end), self._speech)
        chars = tuple(self._in_speech(window, char) for char in word.chars)
        return replace(word, start=start, end=end, chars=chars)


def _divided(words: Sequence[Said], hole: Span) -> tuple[list[Said], list[Said], list[Said]]:
    """The words before a hole, those in it and those after it, by their middles."""
    start, end = hole
    return (
        [said for said in words if said.middle < start],
        [said for said in words if start <= said.middle < end],
        [said for said in words if said.middle >= end],
    )


def _in_doubt(said: Sequence[Said]) -> bool:
    return any(word.source.flags for word in said)


def _size(said: Sequence[Said]) -> int:
    return sum(size_of(word.word.text) for word in said)


def _parts(before: Said, after: Said) -> bool:
    """Whether a segment ends between two words."""
    return (
        before.source is not after.source
        or after.word.start - before.word.end >= PAUSE
        or (_ends_sentence(before.word.text) and not after.word.text[:1].islower())
    )


def _ends_sentence(text: str) -> bool:
    """Whether a word ends a sentence; possible abbreviations (Mr., Dr., U.S.) don't."""
    text = text.rstrip(CLOSING)
    abbreviates = text.endswith(".") and text[:1].isupper() and len(text) <= ABBREVIATION
    return text.endswith(SENTENCE_END) and not abbreviates


def _segment(said: Sequence[Said], extra: Extra) -> Segment:
    source, words = said[0].source, tuple(each.word for each in said)
    return replace(
        source,
        start=words[0].start,
        end=words[-1].end,
        text=text_of(words),
        words=words if source.words else (),
        extra=extra,
    )
