#!/usr/bin/env python3
"""Checks subtitles against what was heard: limits, order and pauses, and that no word is lost.

    python scripts/check_subtitles.py asr.jsonl FOLDER

FOLDER: --output-dir of asr, with a file for each recording in srt, vtt, txt, tsv, ctm and textgrid
or some of them. They are read with parsers other than speechkit's. A line for each fault on
stdout; exit code 1 where there is any.
"""

from __future__ import annotations

import argparse
import csv
import html
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import regex
import srt
import textgrid
import webvtt
from rich.cells import cell_len

from speechkit.formats.cues import LAYOUT, Cue, Layout
from speechkit.records import Recording
from speechkit.runtime.export import Results
from speechkit.runtime.recordings import all_recordings

LEAST = 800  # milliseconds of a cue where there is room
PAUSE = 1100  # milliseconds of a pause that a cue may cover

_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u3001-\u303f\u30fb\u30fc"
)
#: What has to be found again: words, and of scripts without spaces each character.
WORD = regex.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
#: What may be longer than a line: a word with its punctuation.
UNBREAKABLE = regex.compile(
    rf"[\p{{Ps}}\p{{Pi}}]*[^\s{_UNSPACED}]*[{_UNSPACED}]?[\p{{M}}\p{{P}}\p{{Lm}}\p{{Sk}}]*"
)


def read_srt(text: str) -> list[Cue]:
    millisecond = timedelta(milliseconds=1)
    return [
        Cue(one.start // millisecond, one.end // millisecond, tuple(one.content.split("\n")))
        for one in srt.parse(text)
    ]


def read_vtt(text: str) -> list[Cue]:
    def milliseconds(time: str) -> int:
        hours, minutes, seconds = time.split(":")
        return round((int(hours) * 60 + int(minutes)) * 60_000 + float(seconds) * 1000)

    return [
        Cue(
            milliseconds(one.start),
            milliseconds(one.end),
            tuple(map(html.unescape, one.lines)),
        )
        for one in webvtt.from_string(text)
    ]


def cue_faults(cues: Sequence[Cue], recording: Recording, layout: Layout) -> Iterator[str]:
    """Of limits and order."""
    starts = [*(cue.start for cue in cues), round(recording.duration * 1000)]
    for cue, room in zip(cues, starts[1:], strict=True):
        where = f"{cue.times('.')} {' / '.join(cue.lines)}"
        if not cue.start < cue.end <= max(room, cue.start + 1):
            yield f"ends before it begins, or after {room} ms: {where}"
        if layout.lines and len(cue.lines) > layout.lines:
            yield f"{len(cue.lines)} lines: {where}"
        if layout.seconds and cue.end - cue.start > layout.seconds * 1000:
            yield f"stands too long: {where}"
        if cue.end - cue.start < min(LEAST, room - cue.start, layout.seconds * 1000 or LEAST):
            yield f"is too short: {where}"
        for line in cue.lines:
            if layout.width and cell_len(line) > layout.width and not UNBREAKABLE.fullmatch(line):
                yield f"{cell_len(line)} columns: {where}"


def pause_faults(cues: Sequence[Cue], recording: Recording) -> Iterator[str]:
    """Cues that stand over a pause between words, where no other segment is heard in it."""
    for segment in [] if _overlaps(recording) else recording.segments:
        for word, following in pairwise(segment.words):
            end = round(word.end * 1000)
            if (following.start - word.end) * 1000 <= PAUSE:
                continue
            for cue in cues:
                if min(cue.end, following.start * 1000) - max(cue.start, end) > PAUSE:
                    yield f"stands over the pause after {word.text} ({word.end} s): {cue.text}"


def _overlaps(recording: Recording) -> bool:
    return any(one.end > two.start for one, two in pairwise(recording.segments))


def text_faults(shown: str, recording: Recording) -> Iterator[str]:
    """What is missing, changed, added or in another place; of segments that overlap, which may
    take turns, the place is free."""
    heard = [word for one in recording.segments for word in WORD.findall(_as_shown(one.text or ""))]
    found = WORD.findall(_as_shown(shown))
    if _overlaps(recording):
        heard, found = sorted(heard), sorted(found)
    for kind, a, b, c, d in SequenceMatcher(None, heard, found, autojunk=False).get_opcodes():
        if kind != "equal":
            yield f"heard {' '.join(heard[a:b])!r}, shown {' '.join(found[c:d])!r}"


def _as_shown(text: str) -> str:
    """SubRip's arrows are shortened, CTM has underscores for spaces, on both sides."""
    return regex.sub("--+>", "->", text).replace("_", " ")


def _tsv(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return " ".join(row["text"] for row in rows)


def _ctm(path: Path) -> str:
    return " ".join(line.split(" ")[4] for line in path.read_text("utf-8").splitlines())


def _textgrid(path: Path) -> str:
    return " ".join(one.mark for one in textgrid.TextGrid.fromFile(str(path))[0])


TEXTS: dict[str, Callable[[Path], str]] = {
    ".txt": lambda path: path.read_text("utf-8"),
    ".tsv": _tsv,
    ".ctm": _ctm,
    ".TextGrid": _textgrid,
}
SUBTITLES = {".srt": read_srt, ".vtt": read_vtt}


def faults(folder: Path, recording: Recording, layout: Layout, seen: Counter[str]) -> Iterator[str]:
    """Of all files of a recording; ``seen`` counts the files and cues."""
    for extension, read in SUBTITLES.items():
        path = folder / f"{recording.name}{extension}"
        if path.exists():
            cues = read(path.read_text("utf-8"))
            seen.update({"files": 1, "cues": len(cues)})
            found = [*cue_faults(cues, recording, layout), *pause_faults(cues, recording)]
            found += text_faults("\n".join(cue.text for cue in cues), recording)
            yield from (f"{path}: {fault}" for fault in found)
    for extension, text_of in TEXTS.items():
        path = folder / f"{recording.name}{extension}"
        if path.exists():
            seen["files"] += 1
            yield from (f"{path}: {fault}" for fault in text_faults(text_of(path), recording))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-line-width", type=int, default=LAYOUT.width)
    parser.add_argument("--max-lines", type=int, default=LAYOUT.lines)
    parser.add_argument("--max-cue", type=float, default=LAYOUT.seconds)
    asked = parser.parse_args()
    layout = Layout(asked.max_line_width, asked.max_lines, asked.max_cue)
    with Results(asked.manifest, []) as inputs:
        found = all_recordings(inputs)
    seen: Counter[str] = Counter()
    count = 0
    for recording in found:
        for fault in faults(asked.folder, recording, layout, seen):
            count += 1
            print(fault)
    print(
        f"{len(found)} recordings, {seen['files']} files, {seen['cues']} cues, {count} faults",
        file=sys.stderr,
    )
    return 1 if count or not seen["files"] else 0


if __name__ == "__main__":
    sys.exit(main())
