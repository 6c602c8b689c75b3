"""Cues of subtitles: what was said, cut, timed and broken into lines for reading.

Cues end where sentences and clauses do, and lines break there, as far as the limits allow. The
limits and the reading speed are those of Netflix's Timed Text Style Guide for most languages,
counted in columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import inf

from speechkit.formats.common import tidy
from speechkit.formats.line_breaks import cheapest, ends_sentence, penalty
from speechkit.formats.pieces import Piece, columns, pieces
from speechkit.records import Recording, Segment

LEAST = 800  # milliseconds that a cue stands where there is room
READING = 17  # columns a second, for which a cue stands where there is room
LINGER = 1000  # milliseconds that a cue stands after its last word at most
PAUSE = 1000  # milliseconds between two words, over which no cue stands
FLOW = 300  # milliseconds between two segments that sound as one

# What a division costs, beside the penalties of its breaks.
A_CUE = 0.3
A_FULL_CUE = 0.7  # grows with the square of how full it is: full and empty cost more than even
A_SHORT_CUE = 2.0  # shorter than `LEAST`
A_LINE = 1000.0  # as few lines as possible
A_FULL_LINE = 3.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Limits: ``width`` of a line in columns, ``lines`` of a cue, ``seconds`` that it stands.

    0 turns a limit off; without any, a segment is a cue on one line. A word that is longer than a
    line stays whole, on a line of its own.
    """

    width: int = 42
    lines: int = 2
    seconds: float = 7.0

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1000 or inf

    @property
    def columns(self) -> float:
        """What a cue holds."""
        return self.width * self.lines or inf


LAYOUT = Layout()
A_SEGMENT_A_CUE = Layout(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Cue:
    """``lines`` that stand from ``start`` to ``end``, in milliseconds."""

    start: int
    end: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def times(self, point: str) -> str:
        """``HH:MM:SS.mmm --> HH:MM:SS.mmm`` with ``point`` as decimal sign."""
        return f"{_clock(self.start, point)} --> {_clock(self.end, point)}"


def _clock(milliseconds: int, point: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def typeset(recordings: Sequence[Recording], layout: Layout) -> Iterator[list[Cue]]:
    """The cues of each recording, on a time line where one recording follows the other.

    They are in order and don't overlap, except without limits where segments do.
    """
    shift = 0.0
    free = 0  # milliseconds from which no cue stands yet
    for recording in recordings:
        tidied, by = tidy(recording), round(shift * 1000)
        if layout == A_SEGMENT_A_CUE:
            cues = [_unset(segment, by) for segment in tidied.segments if segment.text]
        else:
            cues = _settled(_drafts(tidied, layout), tidied.duration, layout, by, free)
        free = cues[-1].end if cues else free
        shift += recording.duration
        yield cues


def _unset(segment: Segment, by: int) -> Cue:
    start, end = round(segment.start * 1000), round(segment.end * 1000)
    return Cue(start + by, max(start + 1, end) + by, (segment.text or "",))


def _settled(
    drafts: Sequence[Cue], duration: float, layout: Layout, by: int, free: int
) -> list[Cue]:
    """Drafts shifted ``by``, from ``free`` on, and given time to be read where there is room.

    Where what is said overlaps, a cue stands for `LEAST` before the next takes its place.
    """
    rooms = [*(draft.start for draft in drafts), round(duration * 1000)][1:]
    cues: list[Cue] = []
    for draft, room in zip(drafts, rooms, strict=True):
        start = max(draft.start + by, free)
        said = max(start, draft.end + by)
        reading = max(LEAST, sum(map(columns, draft.lines)) * 1000 // READING)
        end = max(said, min(start + reading, said + LINGER))
        end = min(end, max(room + by, min(said, start + LEAST)))
        free = max(start + 1, round(min(end, start + layout.milliseconds)))
        cues.append(replace(draft, start=start, end=free))
    return cues


def _drafts(recording: Recording, layout: Layout) -> list[Cue]:
    """Cues from their first word's start to their last one's end, in order of the starts."""
    stretches = _stretches(recording, layout)
    rooms = [*(stretch[0].start for stretch in stretches), round(recording.duration * 1000)][1:]
    drafts = [
        Cue(own[0].start, own[-1].end, _lines(own, layout.width))
        for stretch, room in zip(stretches, rooms, strict=True)
        for own in _cut(stretch, room, layout)
    ]
    return sorted(drafts, key=lambda draft: draft.start)


def _stretches(recording: Recording, layout: Layout) -> list[list[Piece]]:
    """What is said without a long pause, of one segment or of several that are set as one."""
    spoken = [pieces(one, layout.milliseconds) for one in recording.segments if one.text]
    starts = [*(own[0].start for own in spoken), round(recording.duration * 1000)]
    rooms = [later - start for start, later in pairwise(starts)]
    stretches: list[list[Piece]] = []
    for index, own in enumerate(spoken):
        has_room = index > 0 and min(rooms[index - 1], rooms[index]) >= LEAST
        if not (stretches and _flows(stretches[-1][-1], own[0], has_room=has_room)):
            stretches.append([])
        for piece in own:
            if stretches[-1] and piece.start - stretches[-1][-1].end > PAUSE:
                stretches.append([])
            stretches[-1].append(piece)
    return stretches


def _flows(last: Piece, first: Piece, *, has_room: bool) -> bool:
    """Whether a segment goes on in the next: in the middle of a sentence, or because one of them
    has no room for a cue of its own."""
    near = abs(first.start - last.end) < FLOW
    return near and not (has_room and ends_sentence(last.text, first.text))


def _cut(stretch: Sequence[Piece], room: int, layout: Layout) -> list[Sequence[Piece]]:
    """What each cue shows; ``room``: where what is said next begins, in milliseconds."""
    width, lines, longest = layout.width or inf, layout.lines or inf, layout.milliseconds
    if layout.columns == longest == inf:
        return [stretch]
    columns_of, penalties = _widths(stretch), _penalties(stretch)
    next_starts = [*(piece.start for piece in stretch[1:]), room]

    def costs(first: int) -> Iterator[float]:
        start = stretch[first].start
        line, count = first, 1  # where the last line begins, and how many there are
        for last in range(first, len(stretch)):
            if line < last and columns_of(line, last) > width:
                line, count = last, count + 1
            time = stretch[last].end - start
            if first < last and (count > lines or time > longest):
                return
            full = max(columns_of(first, last) / layout.columns, time / longest)
            short = next_starts[last] - start < LEAST
            yield A_CUE + A_FULL_CUE * full**2 + A_SHORT_CUE * short + penalties[last]

    return [stretch[run] for run in cheapest(len(stretch), costs)]


def _lines(cue: Sequence[Piece], width: int) -> tuple[str, ...]:
    """As few as can be, of about the same length."""
    if not width:
        return (_text(cue),)
    columns_of, penalties = _widths(cue), _penalties(cue)

    def costs(first: int) -> Iterator[float]:
        for last in range(first, len(cue)):
            full = columns_of(first, last) / width
            if first < last and full > 1:
                return
            yield A_LINE + A_FULL_LINE * full**2 + penalties[last]

    return tuple(_text(cue[run]) for run in cheapest(len(cue), costs))


def _widths(run: Sequence[Piece]) -> Callable[[int, int], int]:
    """Columns of the run's pieces from one to another on one line."""
    ends = [0, *accumulate(piece.spaced + piece.columns for piece in run)]
    return lambda first, last: ends[last + 1] - ends[first] - run[first].spaced


def _penalties(run: Sequence[Piece]) -> list[float]:
    """Of a break after each piece; none after the last."""
    return [*(penalty(left, right) for left, right in pairwise(run)), 0.0]


def _text(line: Sequence[Piece]) -> str:
    return "".join(" " * piece.spaced + piece.text for piece in line).lstrip(" ")
