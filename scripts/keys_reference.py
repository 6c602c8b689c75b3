#!/usr/bin/env python3
"""Write the tables of docs/manifest-keys.md from `speechkit.keys`.

Between `<!-- keys:begin -->` and `<!-- keys:end -->` the page is generated; `--check` exits with 1
where it isn't current, and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from speechkit.keys import FLAGS, LINE, SEGMENT, STAGES, Key

PAGE = Path(__file__).resolve().parents[1] / "docs" / "manifest-keys.md"
BEGIN, END = "<!-- keys:begin -->", "<!-- keys:end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    check = parser.parse_args().check
    before = PAGE.read_text()
    after = filled(before)
    if after == before:
        return 0
    if check:
        print(f"{PAGE}: not current; run scripts/keys_reference.py", file=sys.stderr)
        return 1
    PAGE.write_text(after)
    return 0


def filled(page: str) -> str:
    """The page with its generated part as the table has it now."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE}: needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{reference()}\n{END}{tail}"


def reference() -> str:
    """The generated part, Markdown."""
    return "\n".join([*line_keys(), "", *segment_keys(), "", *flags()]) + "\n"


def line_keys() -> Iterator[str]:
    rows = (
        (f"`{key.name}`", setters(key), in_a_slice(key), key.meaning + unit(key)) for key in LINE
    )
    yield from table(("key", "set by", "in a slice", "meaning"), rows)
    yield ""
    yield (
        "`vad --emit segments` makes a slice of each stretch of speech. A slice carries the keys "
        "of its recording, except for those that describe the recording as a whole."
    )


def segment_keys() -> Iterator[str]:
    yield "## Keys of a segment"
    yield ""
    rows = ((f"`{key.name}`", setters(key), key.meaning + unit(key)) for key in SEGMENT)
    yield from table(("key", "set by", "meaning"), rows)
    yield ""
    yield (
        "`asr` carries every other key of an input segment over to the segments that it writes. "
        "A word belongs to the input segment that it overlaps most. Where input segments overlap "
        "each other, the earlier one counts to its end. A segment of the output never spans input "
        "segments that differ in these keys: the words of two speakers end in two segments. An "
        "engine without word times decodes such a stretch again, turn by turn."
    )


def flags() -> Iterator[str]:
    yield "## Flags"
    yield ""
    rows = (
        (f"`{flag.name}`", stages(flag.set_by), "–" if flag.of_the_whole else "kept", flag.meaning)
        for flag in FLAGS
    )
    yield from table(("flag", "set by", "in a slice", "meaning"), rows)


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (header, ("---",) * len(header), *rows):
        yield f"| {' | '.join(row)} |"


def setters(key: Key) -> str:
    names = ["input"] if key.stated and key.set_by != STAGES else []
    names += [stages(key.set_by)] if key.set_by else []
    names += ["`vad --emit segments`"] if key.of_the_slice and not key.set_by else []
    return ", ".join(names)


def stages(names: tuple[str, ...]) -> str:
    return "every stage" if names == STAGES else ", ".join(f"`{name}`" for name in names)


def in_a_slice(key: Key) -> str:
    return "–" if key.of_the_whole else "set anew" if key.of_the_slice else "kept"


def unit(key: Key) -> str:
    return f" ({key.unit})" if key.unit else ""


if __name__ == "__main__":
    sys.exit(main())
