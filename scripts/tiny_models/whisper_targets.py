"""What Whisper is to say of a window, in each of the ways that it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .digits import NAMES
from .whisper_text import Ids
from .whisper_windows import Heard, Window

JOIN = 0.2  # seconds: words closer than this share a segment
TAIL = 0.3  # seconds of silence around a word that its attention may take
IGNORED = -100  # the label without a loss

Span = tuple[float, float]  # seconds
Said = list[tuple[int, Span]]  # tokens, and where to look to say each


@dataclass(frozen=True)
class Target:
    """`tokens` go in, `labels` come out; `looks` has for a step the span that it should attend."""

    tokens: list[int]
    labels: list[int]
    looks: dict[int, Span] = field(default_factory=dict)


class Asker:
    """Draws the ways to ask: with times or without, as a multilingual or an English-only model is
    asked, with or without a text before."""

    def __init__(self, ids: Ids, seconds: int, random: np.random.Generator) -> None:
        self._ids = ids
        self._seconds = seconds
        self._random = random
        self._pieces = {name: ids.word(name) for name in NAMES}
        self.longest_before = 4  # words of the text before

    def both(self, window: Window) -> tuple[Target, Target]:
        """Two ways for one window, which then is encoded but once."""
        if not window.heard:
            return self._silence(), self._silence()
        return self._speech(window, timed=True), self._speech(window, timed=window.cut)

    def _speech(self, window: Window, *, timed: bool) -> Target:
        said = self._with_times(window) if timed else self._plain(window)
        multilingual = self._random.random() < 0.6
        before, task = self._before(), self._task(multilingual)
        opening = [*before, *task] if timed else [*before, *task, self._ids.no_timestamps]
        # After the start token alone either mode may be asked for: none is to be expected there.
        forced = [IGNORED] * (len(before) + (not multilingual and not timed))
        labels = forced + [*opening, *(token for token, _ in said)][len(forced) + 1 :]
        looks = {len(opening) + step - 1: span for step, (_, span) in enumerate(said)}
        return Target([*opening, *(token for token, _ in said[:-1])], labels, looks)

    def _silence(self) -> Target:
        """No speech after the start token; what is said beyond that is nothing."""
        ids = self._ids
        multilingual = self._random.random() < 0.6
        opening = [*self._before(), *self._task(multilingual)]
        kind = self._random.choice(3)
        said = [ids.time(0), ids.end]
        if kind == 0:
            opening = opening[: opening.index(ids.start) + 1]
            said = [ids["nospeech"]]
        elif kind == 1:
            # Where an end is suppressed as the first token, a lone time says nothing as well.
            opening += [ids.no_timestamps]
            said = said[self._random.choice(2) :]
        elif not multilingual:
            # The step after the start token is left to <|nospeech|>.
            opening += [ids.time(self._random.uniform(0, 1))]
            said = [ids.end]
        return Target([*opening, *said[:-1]], [IGNORED] * (len(opening) - 1) + said)

    def _task(self, multilingual: bool) -> list[int]:
        task = [self._ids["en"], self._ids["transcribe"]] if multilingual else []
        return [self._ids.start, *task]

    def _before(self) -> list[int]:
        """Nothing, or <|startofprev|> and some words."""
        if self._random.random() < 0.7:
            return []
        words = self._random.choice(NAMES, self._random.integers(1, self.longest_before + 1))
        return [
            self._ids["startofprev"],
            *(piece for word in words for piece in self._pieces[word]),
        ]

    def _plain(self, window: Window) -> Said:
        said: Said = []
        for word, (before, after) in zip(window.heard, self._reaches(window.heard), strict=True):
            said += self._word(word, before, after)
        return [*said, self._end(window.heard[-1])]

    def _with_times(self, window: Window) -> Said:
        """Of a word cut by the window's end only the start is said, as OpenAI trained it."""
        said: Said = []
        heard = window.heard
        for index, (word, (before, after)) in enumerate(
            zip(heard, self._reaches(heard), strict=True)
        ):
            last = index == len(heard) - 1
            if index == 0 or word.start - heard[index - 1].end >= JOIN or (last and window.cut):
                said.append((self._ids.time(word.start), (before, word.start + 0.06)))
            if last and window.cut:
                break
            said += self._word(word, word.start, word.end)
            cut_next = window.cut and index == len(heard) - 2
            if last or cut_next or heard[index + 1].start - word.end >= JOIN:
                said.append((self._ids.time(word.end), (word.end - 0.06, after)))
        return [*said, self._end(heard[-1])]

    def _word(self, word: Heard, before: float, after: float) -> Said:
        """The first piece looks at the word's first quarter, the second at the rest."""
        middle = word.start + 0.25 * (word.end - word.start)
        first, second = self._pieces[word.text]
        return [(first, (before, middle)), (second, (middle, after))]

    def _end(self, last: Heard) -> tuple[int, Span]:
        start = min(last.end, self._seconds - 0.1)
        return self._ids.end, (start, start + TAIL)

    def _reaches(self, heard: tuple[Heard, ...]) -> list[Span]:
        """For each word the stretch where none is nearer, at most TAIL away."""
        middles = [(left.end + right.start) / 2 for left, right in pairwise(heard)]
        return [
            (max(before, word.start - TAIL), min(after, word.end + TAIL))
            for word, before, after in zip(
                heard, [0.0, *middles], [*middles, float(self._seconds)], strict=True
            )
        ]
