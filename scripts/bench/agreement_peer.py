"""The agreement policy of whisper_streaming over faster-whisper, for benchmarks.

Written anew after D. Macháček, R. Dabre and O. Bojar, "Turning Whisper into Real-Time Transcription
System" (2023), with the choices that the authors' program makes by default: segments as the places
where the buffer is cut, 15 s, a prompt of 200 characters, 5 beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RATE = 16_000  # Hz
LONGEST = 15.0  # seconds of the buffer, beyond which it is cut at a segment's end
PROMPT = 200  # characters of the text before the buffer
SLACK = 0.1  # seconds by which a new word may begin before the end of the last final one
NEAR = 1.0  # seconds from the end of the last final word within which words may be its repetition
REPEATED = 5  # words at most that are compared with the last final ones
NO_SPEECH = 0.9  # probability above which a segment's words are left out


class Word(NamedTuple):
    """``text`` with its leading space; times in seconds of the stream."""

    text: str
    start: float
    end: float


class Agreement:
    """One stream: a word is final when two successive hypotheses agree on it and all before it."""

    step = 1.0  # seconds of audio, at least

    def __init__(self, model: Any, *, beam_size: int, vad: bool) -> None:
        self._model = model
        self._options = {"beam_size": beam_size, "vad_filter": vad, "language": "en"}
        self._buffer = np.empty(0, np.float32)
        self._begins = 0.0  # seconds, of the buffer
        self._final: list[Word] = []
        self._open: list[Word] = []  # of the last hypothesis, behind the final words

    @property
    def shown(self) -> bool:
        """Whether there has been any text."""
        return bool(self._final or self._open)

    def feed(self, samples: np.ndarray) -> list[Word]:
        """The words that have become final."""
        self._buffer = np.concatenate([self._buffer, samples])
        words, ends = self._hypothesis()
        new = self._behind_final(words)
        agreed = 0
        while (
            agreed < min(len(new), len(self._open)) and new[agreed].text == self._open[agreed].text
        ):
            agreed += 1
        self._final += new[:agreed]
        self._open = new[agreed:]
        if len(self._buffer) > LONGEST * RATE:
            self._cut(ends)
        return new[:agreed]

    def finish(self) -> list[Word]:
        """The rest of the last hypothesis."""
        return self._open

    def _hypothesis(self) -> tuple[list[Word], list[float]]:
        """The words of the buffer, and the ends of its segments."""
        segments, _ = self._model.transcribe(
            self._buffer,
            initial_prompt=self._prompt(),
            word_timestamps=True,
            condition_on_previous_text=True,
            **self._options,
        )
        words, ends = [], []
        for segment in segments:
            ends.append(self._begins + segment.end)
            if segment.no_speech_prob <= NO_SPEECH:
                words += [
                    Word(word.word, self._begins + word.start, self._begins + word.end)
                    for word in segment.words
                ]
        return words, ends

    def _prompt(self) -> str:
        text = ""
        for word in reversed(self._final[:-1]):
            if len(text) >= PROMPT:
                break
            if word.end <= self._begins:
                text = word.text + text
        return text

    def _behind_final(self, words: Sequence[Word]) -> list[Word]:
        """Without the words that are final already."""
        last = self._final[-1].end if self._final else 0.0
        new = [word for word in words if word.start > last - SLACK]
        inside = [word.text for word in self._final[-REPEATED:] if word.end > self._begins]
        if new and abs(new[0].start - last) < NEAR:
            for count in range(1, min(len(inside), len(new)) + 1):
                if inside[-count:] == [word.text for word in new[:count]]:
                    return new[count:]
        return new

    def _cut(self, ends: Sequence[float]) -> None:
        """Begin at the end of the last segment but one, or of an earlier one, whose words are all
        final."""
        last = self._final[-1].end if self._final else 0.0
        final = [end for end in ends[:-1] if end <= last]
        if final:
            self._buffer = self._buffer[int((final[-1] - self._begins) * RATE) :]
            self._begins = final[-1]
