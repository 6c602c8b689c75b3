"""Pairs of words or characters in a reference and a hypothesis, and their display as in sclite."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Mark = Literal["C", "S", "D", "I"]  # correct, substituted, deleted, inserted: sclite's letters

_MARKS: dict[str, Mark] = {"equal": "C", "substitute": "S", "delete": "D", "insert": "I"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A column: a word or character of the reference and of the hypothesis; None for a gap."""

    mark: Mark
    reference: str | None
    hypothesis: str | None


def pairs(reference: Sequence[str], hypothesis: Sequence[str], chunks: Any) -> tuple[Pair, ...]:
    """The columns of two lists of words or characters from jiwer's alignment chunks of them."""
    columns: list[Pair] = []
    for chunk in chunks:
        left = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        right = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        columns += (
            Pair(
                _MARKS[chunk.type],
                left[i] if i < len(left) else None,
                right[i] if i < len(right) else None,
            )
            for i in range(max(len(left), len(right)))
        )
    return tuple(columns)


def blocks(alignment: Sequence[Pair], width: int) -> Iterator[tuple[str, str, str]]:
    """REF, HYP and EVAL lines in columns, wrapped at ``width`` terminal cells.

    As in sclite, stars stand where a side has nothing and S, D or I below an error. Columns are
    measured in terminal cells, so wide (CJK) and zero-width characters stay aligned; a combining
    mark by itself stands on a dotted circle, a space is an open box; the order of right-to-left
    scripts is the terminal's affair.
    """
    from rich.cells import cell_len

    columns: list[list[str]] = []
    used = len("EVAL: ")
    for pair in alignment:
        sides = [word and _cell(word) for word in (pair.reference, pair.hypothesis)]
        column = max(cell_len(word or "*") for word in sides)
        if columns and used + column > width:
            yield _block(columns)
            columns, used = [], len("EVAL: ")
        cells = [word or "*" * column for word in sides] + [pair.mark.replace("C", "")]
        columns.append([cell + " " * (column - cell_len(cell)) for cell in cells])
        used += column + 1
    if columns:
        yield _block(columns)


def printable(text: str) -> str:
    """The text with control characters and surrogates replaced, safe for a terminal."""
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def _cell(word: str) -> str:
    if word == " ":
        return "␣"
    return printable(f"◌{word}" if unicodedata.category(word[0])[0] == "M" else word)


def _block(columns: Sequence[Sequence[str]]) -> tuple[str, str, str]:
    reference, hypothesis, marks = (" ".join(row).rstrip() for row in zip(*columns, strict=True))
    return f"REF:  {reference}", f"HYP:  {hypothesis}", f"EVAL: {marks}".rstrip()
