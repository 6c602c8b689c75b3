"""Error rates, as tables for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from speechkit.reports.plurals import counted
from speechkit.scoring.alignment import blocks, printable
from speechkit.scoring.comparison import Aligned, Counts
from speechkit.scoring.confidence_interval import Interval
from speechkit.scoring.results import Score

_MARK_STYLES = {"S": "yellow", "D": "red", "I": "cyan"}
_UNITS = {"wer": "word", "cer": "character"}
_BLOCKS = 10  # of an utterance's wrapped lines; an hour of speech has thousands


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """A `Report` of a `Score`."""

    score: Score

    @property
    def exit_code(self) -> int:
        return 3 if self.score.total.failed else 0

    def to_json(self) -> dict[str, Any]:
        return self.score.to_json()

    def view(self) -> RenderableType:
        return render(self.score)


def render(score: Score) -> RenderableType:
    """The counts, the rates, the breakdown and the worst utterances, for rich."""
    parts: list[RenderableType] = [*map(Text, _notes(score)), _rates(score)]
    if score.options.by is not None:
        parts += [Text(), _breakdown(score, score.options.by)]
    if score.worst:
        parts += [Text(), Text("Worst utterances", style="bold")]
    for aligned in score.worst:
        parts += [Text(), _AlignedView(aligned)]
    return Group(*parts)


def _notes(score: Score) -> Iterator[str]:
    total, empty = score.total, score.empty_references
    failed = f", {total.failed} of them failed and counted as empty" if total.failed else ""
    yield f"{counted(total.utterances, 'utterance')} scored{failed}; " + (
        f"normaliser {score.options.normaliser}"
    )
    if total.letters.figure == "cer":
        yield f"quote the CER: {total.letters.why}"
    if empty.utterances:
        yield (
            f"{counted(empty.utterances, 'empty reference')}; "
            f"{counted(empty.inserted_words, 'word')} heard there, counted as insertions"
        )
    if score.doubts.flags:
        flags = ", ".join(f"{count} {flag}" for flag, count in score.doubts.flags.items())
        gaps = score.doubts.gap_seconds
        silent = f", {gaps:.1f} s of speech without words" if gaps else ""
        yield f"flagged: {flags}{silent}: {_names(score.doubts.names, score.doubts.utterances)}"
    if score.without_reference:
        yield (
            f"{counted(score.without_reference, 'record')} not scored for lack of a reference: "
            + _names(score.without_reference_names, score.without_reference)
        )


def _names(first: Sequence[str], count: int) -> str:
    return ", ".join(map(printable, first)) + (", …" if count > len(first) else "")


def _rates(score: Score) -> Table:
    table = _table("", "rate", "95% interval", "reference", "correct", "sub", "del", "ins")
    total = score.total
    rows = [("WER", total.words, total.wer_interval), ("CER", total.chars, total.cer_interval)]
    if total.letters.figure == "cer":
        rows.reverse()
    for name, counts, interval in rows:
        numbers = (counts.reference, counts.hits, counts.substitutions)
        edits = (counts.deletions, counts.insertions)
        style = "bold" if name == rows[0][0] else ""
        table.add_row(
            name, Text(_rate(counts), style), _interval(interval), *map(str, numbers + edits)
        )
    return table


def _breakdown(score: Score, field: str) -> Table:
    table = _table(field, "utterances", "failed", "words", "WER", "CER", "quote", "95% interval")
    for name, group in score.groups.items():
        counts = (group.utterances, group.failed, group.words.reference)
        table.add_row(
            Text(printable(name)),
            *map(str, counts),
            _rate(group.words),
            _rate(group.chars),
            group.letters.figure.upper(),
            _interval(group.leading_interval),
        )
    return table


class _AlignedView:
    """The parts of an aligned utterance that have errors, wrapped to the console's width."""

    def __init__(self, aligned: Aligned) -> None:
        self._aligned = aligned

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        counts, unit = self._aligned.counts, _UNITS[self._aligned.figure]
        yield Text(
            f"{printable(self._aligned.name)}: {self._aligned.figure.upper()} {_rate(counts)}, "
            f"{counted(counts.errors, 'error')} in {counted(counts.reference, unit)}"
        )
        wrapped = blocks(self._aligned.pairs, options.max_width)
        faulty = (block for block in wrapped if block[-1] != "EVAL:")
        for reference, hypothesis, marks in islice(faulty, _BLOCKS):
            yield Text(reference, no_wrap=True, overflow="ignore")
            yield Text(hypothesis, no_wrap=True, overflow="ignore")
            yield _coloured(marks)
        if any(faulty):
            yield Text("… and more")


def _coloured(marks: str) -> Text:
    text = Text(marks, no_wrap=True, overflow="ignore")
    for column in range(len("EVAL: "), len(marks)):
        text.stylize(_MARK_STYLES.get(marks[column], ""), column, column + 1)
    return text


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(Text(printable(first)), overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _rate(counts: Counts) -> str:
    return "-" if counts.rate is None else f"{counts.rate:.2%}"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{100 * interval[0]:.2f}-{100 * interval[1]:.2f}%"
