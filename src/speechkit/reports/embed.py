"""Neighbours, near duplicates and linear probes, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from speechkit.embeddings.near_duplicates import Duplicates
from speechkit.embeddings.probe import Probe
from speechkit.embeddings.search import Found, Query
from speechkit.io import manifest
from speechkit.io.embedding_shards import Embeddings
from speechkit.io.file_names import shown
from speechkit.records import Record
from speechkit.reports.plurals import counted

SHOWN_GROUPS = 20
SHOWN_NEIGHBOURS = 100
SHOWN_LABELS = 20  # of a confusion matrix
SHOWN_TEXT = 60  # characters


@dataclass(frozen=True, slots=True)
class SearchReport:
    """A `Report` of the neighbours of queries."""

    embeddings: Embeddings
    queries: Sequence[Query]
    found: Found

    @property
    def exit_code(self) -> int:
        return 0

    def lines(self) -> Iterator[Record]:
        """A line for each neighbour: its line of the index, with what makes it one."""
        for query, neighbours in zip(self.queries, self.found.neighbours, strict=True):
            for rank, one in enumerate(neighbours, 1):
                found = {"query": query.name, "rank": rank, "similarity": round(one.similarity, 6)}
                yield {**self.embeddings.records[one.row], **found}

    def to_json(self) -> list[Record]:
        return list(self.lines())

    def view(self) -> RenderableType:
        table = _table(("query", "left"), ("rank", "right"), ("similarity", "right"))
        table.add_column("utterance", overflow="fold")
        table.add_column("text", overflow="fold")
        for line in islice(self.lines(), SHOWN_NEIGHBOURS):
            text = str(line.get("text") or line.get("pred_text") or "")[:SHOWN_TEXT]
            cells = [shown(line["query"]), str(line["rank"]), f"{line['similarity']:.4f}"]
            table.add_row(*map(Text, (*cells, shown(manifest.name(line)), shown(text))))
        more = sum(map(len, self.found.neighbours)) - SHOWN_NEIGHBOURS
        rest = [Text(f"… and {more} more; --output has all")] if more > 0 else []
        return Group(table, *rest, *_left_out(self.found.left_out))


@dataclass(frozen=True, slots=True)
class DedupReport:
    """A `Report` of near duplicates."""

    embeddings: Embeddings
    duplicates: Duplicates
    threshold: float

    @property
    def exit_code(self) -> int:
        return 0

    def lines(self) -> Iterator[dict[str, Any]]:
        """A line for each group: the utterance to keep, and its duplicates."""
        for row, group in self.duplicates.groups.items():
            found = [
                {**self._place(one.row), "similarity": round(one.similarity, 6)} for one in group
            ]
            yield {"keep": self._place(row), "duplicates": found}

    def kept(self) -> Iterator[Record]:
        """The lines of the index to keep."""
        dropped = self.duplicates.dropped()
        records = enumerate(self.embeddings.records)
        return (record for row, record in records if row not in dropped)

    def to_json(self) -> dict[str, Any]:
        dropped = len(self.duplicates.dropped())
        left_out = len(self.duplicates.left_out)
        return {
            "utterances": len(self.embeddings),
            "kept": len(self.embeddings) - dropped,
            "duplicates": dropped - left_out,
            "left_out": left_out,
            "threshold": self.threshold,
            "groups": list(self.lines()),
        }

    def view(self) -> RenderableType:
        table = _table(("keep", "left"), ("similarity", "right"), ("duplicate", "left"))
        for line in islice(self.lines(), SHOWN_GROUPS):
            for number, one in enumerate(line["duplicates"]):
                first = shown(line["keep"]["name"]) if number == 0 else ""
                cells = (first, f"{one['similarity']:.4f}", shown(one["name"]))
                table.add_row(*map(Text, cells))
        groups, figures = len(self.duplicates.groups), self.to_json()
        more = [Text("… and more groups")] if groups > SHOWN_GROUPS else []
        closing = Text(
            f"{counted(figures['utterances'], 'utterance')}: {figures['kept']} kept, "
            f"{counted(figures['duplicates'], 'near duplicate')} of {groups} of them"
        )
        parts: list[RenderableType] = [table, *more] if groups else []
        return Group(*parts, closing, *_left_out(figures["left_out"]))

    def _place(self, row: int) -> dict[str, Any]:
        return {"name": manifest.name(self.embeddings.records[row]), "line": row}


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """A `Report` of a linear probe."""

    probe: Probe

    @property
    def exit_code(self) -> int:
        return 0

    def to_json(self) -> dict[str, Any]:
        probe = self.probe
        return {
            "label": probe.label,
            "vectors": probe.vectors,
            "utterances": probe.utterances,
            "accuracy": round(probe.accuracy, 6),
            "baseline": round(probe.baseline, 6),
            "folds": [round(score, 6) for score in probe.folds],
            "speakers_apart": probe.grouped,
            "labels": list(probe.labels),
            "confusion": probe.confusion.tolist(),
            "left_out": probe.left_out,
            "without_label": probe.without_label,
        }

    def view(self) -> RenderableType:
        probe = self.probe
        folds = ", ".join(f"{score:.1%}" for score in probe.folds)
        apart = ", speakers kept apart" if probe.grouped else ""
        lines = [
            f"{probe.label}: {probe.accuracy:.2%} of {counted(probe.utterances, 'utterance')}, "
            f"baseline {probe.baseline:.2%} (the commonest of {len(probe.labels)} labels)",
            f"{len(probe.folds)} folds{apart}: {folds}",
        ]
        if probe.without_label:
            lines.append(f"{counted(probe.without_label, 'utterance')} without {probe.label}")
        few = len(probe.labels) <= SHOWN_LABELS
        parts: list[RenderableType] = [Text(), self._confusion()] if few else []
        return Group(*map(Text, lines), *_left_out(probe.left_out), *parts)

    def _confusion(self) -> Table:
        """A row for each label, a column for each prediction."""
        names = [shown(label)[:SHOWN_TEXT] for label in self.probe.labels]
        table = _table(("predicted", "left"), *((name, "right") for name in names))
        for name, counts in zip(names, self.probe.confusion.tolist(), strict=True):
            table.add_row(Text(name), *(str(count or "·") for count in counts))
        return table


def _table(*columns: tuple[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in columns:
        table.add_column(Text(name), justify=justify, overflow="fold")
    return table


def _left_out(rows: int) -> Iterator[Text]:
    if rows:
        yield Text(f"{counted(rows, 'row')} left out, because the utterance failed")
