"""Subtitle cues: speech cut, timed and broken into lines for reading.

Cues end where sentences and clauses do, and lines break there, as far as the limits allow. The
limits and the reading speed are those of Netflix's Timed Text Style Guide for most languages,
counted in columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import inf

from speechkit.formats.break_penalties import cheapest, ends_sentence, penalty
from speechkit.formats.clean_text import tidy
from speechkit.formats.unbreakable_pieces import Piece, columns, pieces
from speechkit.records import Recording, Segment

LEAST = 800  # milliseconds, the shortest cue where there is room
READING = 17  # columns a second, the reading speed that cues allow for where there is room
LINGER = 1000  # milliseconds, at most, that a cue stays after its last word
PAUSE = 1000  # milliseconds between two words; a longer pause ends the cue
FLOW = 300  # milliseconds between two segments; a shorter gap sounds as none

# Costs of a division, in addition to the penalties of its breaks.
A_CUE = 0.3
A_FULL_CUE = 0.7  # grows with the square of how full it is: full and empty cost more than even
A_SHORT_CUE = 2.0  # shorter than `LEAST`
A_LINE = 1000.0  # as few lines as possible
A_FULL_LINE = 3.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Limits: ``width`` of a line in columns, ``lines`` of a cue, ``seconds`` of a cue.

    0 turns a limit off; without limits, a segment is a cue on one line. A word longer than a line
    stays whole, on a line of its own.
    """

    width: int = 42
    lines: int = 2
    seconds: float = 7.0

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1000 or inf

    @property
    def columns(self) -> float:
        """The columns of a full cue."""
        return self.width * self.lines or inf


LAYOUT = Layout()
A_SEGMENT_A_CUE = Layout(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Cue:
    """``lines`` shown from ``start`` to ``end``, in milliseconds."""

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

    They are in order. They don't overlap, unless there are no limits and segments do.
    """
    shift = 0.0
    free = 0  # milliseconds; the end of the last cue
    for recording in recordings:
        tidied, offset = tidy(recording), round(shift * 1000)
        if layout == A_SEGMENT_A_CUE:
            cues = [_uncut(segment, offset) for segment in tidied.segments if segment.text]
        else:
            cues = _timed(_drafts(tidied, layout), tidied.duration, layout, offset, free)
        free = cues[-1].end if cues else free
        shift += recording.duration
        yield cues


def _uncut(segment: Segment, offset: int) -> Cue:
    start, end = round(segment.start * 1000), round(segment.end * 1000)
    return Cue(start + offset, max(start + 1, end) + offset, (segment.text or "",))


def _timed(
    drafts: Sequence[Cue], duration: float, layout: Layout, offset: int, free: int
) -> list[Cue]:
    """Drafts shifted by ``offset``, from ``free`` on, extended for reading where there is room.

    Where speech overlaps, a cue stays for `LEAST` before the next replaces it.
    """
    rooms = [*(draft.start for draft in drafts), round(duration * 1000)][1:]
    cues: list[Cue] = []
    for draft, room in zip(drafts, rooms, strict=True):
        start = max(draft.start + offset, free)
        speech_end = max(start, draft.end + offset)
        reading = max(LEAST, sum(map(columns, draft.lines)) * 1000 // READING)
        end = max(speech_end, min(start + reading, speech_end + LINGER))
        end = min(end, max(room + offset, min(speech_end, start + LEAST)))
        free = max(start + 1, round(min(end, start + layout.milliseconds)))
        cues.append(replace(draft, start=start, end=free))
    return cues


def _drafts(recording: Recording, layout: Layout) -> list[Cue]:
    """Cues from their first word's start to their last one's end, in order of the starts."""
    stretches = _stretches(recording, layout)
    rooms = [*(stretch[0].start for stretch in stretches), round(recording.duration * 1000)][1:]
    drafts = [
        Cue(run[0].start, run[-1].end, _broken_into_lines(run, layout.width))
        for stretch, room in zip(stretches, rooms, strict=True)
        for run in _cut(stretch, room, layout)
    ]
    return sorted(drafts, key=lambda draft: draft.start)


def _stretches(recording: Recording, layout: Layout) -> list[list[Piece]]:
    """Speech without a long pause, from one segment or from several that belong together."""
    spoken = [pieces(s, layout.milliseconds) for s in recording.segments if s.text]
    starts = [*(segment[0].start for segment in spoken), round(recording.duration * 1000)]
    rooms = [later - start for start, later in pairwise(starts)]
    stretches: list[list[Piece]] = []
    for index, segment in enumerate(spoken):
        has_room = index > 0 and min(rooms[index - 1], rooms[index]) >= LEAST
        if not (stretches and _flows(stretches[-1][-1], segment[0], has_room=has_room)):
            stretches.append([])
        for piece in segment:
            if stretches[-1] and piece.start - stretches[-1][-1].end > PAUSE:
                stretches.append([])
            stretches[-1].append(piece)
    return stretches


def _flows(last: Piece, first: Piece, *, has_room: bool) -> bool:
    """Whether a segment continues in the next.

    It does in the middle of a sentence, or where one of them has no room for a cue of its own.
    """
    near = abs(first.start - last.end) < FLOW
    return near and not (has_room and ends_sentence(last.text, first.text))


def _cut(stretch: Sequence[Piece], room: int, layout: Layout) -> list[Sequence[Piece]]:
    """The pieces of each cue; ``room``: the start of the next speech, in milliseconds."""
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


def _broken_into_lines(cue: Sequence[Piece], width: int) -> tuple[str, ...]:
    """The lines of a cue: as few as possible, of similar length."""
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
    """A function that gives the columns from one piece of the run to another on one line."""
    ends = [0, *accumulate(piece.spaced + piece.columns for piece in run)]
    return lambda first, last: ends[last + 1] - ends[first] - run[first].spaced


def _penalties(run: Sequence[Piece]) -> list[float]:
    """The penalty of a break after each piece; 0 after the last."""
    return [*(penalty(left, right) for left, right in pairwise(run)), 0.0]


def _text(line: Sequence[Piece]) -> str:
    return "".join(" " * piece.spaced + piece.text for piece in line).lstrip(" ")
