"""Text formats of a stream, written while it is heard: what is written is final."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from speechkit.formats import srt, vtt
from speechkit.formats.break_penalties import ends_sentence
from speechkit.formats.clean_text import one_line
from speechkit.formats.cues import Cue, Layout, typeset
from speechkit.io import manifest
from speechkit.records import Recording, Segment, Word, text_of
from speechkit.serving.stream.events import Event, Final, Gap, Partial, to_json

FORMATS = ("jsonl", "srt", "txt", "vtt")


class LiveFormat(Protocol):
    """Makes text of events, one after the other."""

    def add(self, event: Event) -> str:
        """The text that follows what was made so far, often none."""
        ...


def live_format(name: str, layout: Layout) -> LiveFormat:
    """The format of one of the `FORMATS`, anew."""
    match name:
        case "jsonl":
            return JsonLines()
        case "srt":
            return Cues(layout, srt.block)
        case "vtt":
            return Cues(layout, lambda _, cue: f"\n{vtt.block(cue)}\n", f"{vtt.HEADER}\n")
    return Lines()


@dataclass(frozen=True, slots=True)
class FormatView:
    """Writes a format to an unbuffered file."""

    form: LiveFormat
    file: BinaryIO

    def write(self, event: Event) -> None:
        left = memoryview(self.form.add(event).encode())
        while left:
            left = left[self.file.write(left) :]


class JsonLines:
    """An object a line."""

    def add(self, event: Event) -> str:
        return manifest.dump(to_json(event)) + "\n"


class Lines:
    """The words as soon as they are final. A line ends with a sentence, and where a gap follows."""

    def __init__(self) -> None:
        self._last = ""  # word of the line that is open

    def add(self, event: Event) -> str:
        if isinstance(event, Final):
            return "".join(self._words(event))
        if isinstance(event, Partial) or not self._last:
            return ""
        self._last = ""
        return "\n"

    def _words(self, final: Final) -> Iterator[str]:
        for word in final.words:
            text = one_line(word.text)
            if not text:
                continue
            if self._last and ends_sentence(self._last, text):
                yield "\n"
            elif self._last and word.spaced:
                yield " "
            yield text
            self._last = text


class Cues:
    """Subtitles.

    A cue is written when a gap follows or a sentence has ended, and when no more words fit into it.
    ``block``: makes the text of a cue, whose number it gets. ``header``: stands before the first.
    """

    def __init__(self, layout: Layout, block: Callable[[int, Cue], str], header: str = "") -> None:
        self._layout = layout
        self._block = block
        self._header = header
        self._held: list[Word] = []
        self._written = 0

    def add(self, event: Event) -> str:
        if isinstance(event, Partial):
            return ""
        header, self._header = self._header, ""
        if isinstance(event, Final):
            words = [word for word in event.words if one_line(word.text)]
            text = self._write(words[0].start) if self._is_over(words) else ""
            self._held += words
        else:
            text = self._write(event.end if isinstance(event, Gap) else event.seconds)
        return header + text

    def _is_over(self, following: list[Word]) -> bool:
        """Whether the words that are held make a cue which those that follow are no part of."""
        if not (self._held and following):
            return False
        if ends_sentence(one_line(self._held[-1].text), one_line(following[0].text)):
            return True
        both = [*self._held, *following]
        return len(self._typeset(both, both[-1].end)) > 1

    def _write(self, room: float) -> str:
        """The cues of the words that are held; the last may stay until ``room`` seconds."""
        if not self._held:
            return ""
        cues = self._typeset(self._held, room)
        first, self._written = self._written + 1, self._written + len(cues)
        self._held = []
        return "".join(self._block(number, cue) for number, cue in enumerate(cues, start=first))

    def _typeset(self, words: list[Word], room: float) -> list[Cue]:
        segment = Segment(words[0].start, words[-1].end, text_of(words), tuple(words))
        return next(typeset([Recording("", max(room, segment.end), (segment,))], self._layout))
