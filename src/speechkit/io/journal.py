"""The journal of a run over utterances: a `PartFile` whose lines are their results.

Every line is ``checksum TAB index TAB record TAB record…``: the output lines of one utterance in
JSON. After ``stalled`` in place of the index come the indices of utterances in whose batch the
engine hung. ``index/`` comes before the division of a long utterance, and ``index/number`` before
the result of one of its parts. Damaged lines are skipped.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from speechkit.io import atomic
from speechkit.io.part_file import PartFile
from speechkit.io.result_lines import error_type
from speechkit.io.run_identity import RunIdentity

PART_NUMBER = re.compile(rb"0|[1-9]\d{0,6}")
STALLED = "stalled"  # in the place of an index


class Journal(PartFile):
    """The results of one run on their way to ``OUT``."""

    def __init__(self, output: str | Path, identity: RunIdentity, *, restart: bool = False) -> None:
        self.stalled: set[int] = set()
        self._offsets = array("q", bytes(8 * identity.utterances))  # 0: not done (the header's)
        self._parts: dict[int, dict[str, int]] = {}  # offsets, by index and what is after the slash
        super().__init__(output, identity, restart=restart)

    def done(self, index: int) -> bool:
        return self._offsets[index] != 0

    @property
    def count(self) -> int:
        return sum(1 for offset in self._offsets if offset)

    def append(self, index: int, lines: Sequence[str]) -> None:
        """Add the output lines of one utterance; `flush` makes them safe from a kill."""
        self._offsets[index] = self._write([str(index), *lines])
        self._drop_parts(index, (line.encode() for line in lines))

    def divide(self, index: int, division: str) -> None:
        """Add how a long utterance is divided, in JSON; parts of an earlier division are void."""
        self._parts[index] = {"": self._write([f"{index}/", division])}

    def append_part(self, index: int, number: int, result: str) -> None:
        """Add the result of a part of a divided utterance, in JSON."""
        self._parts[index][str(number)] = self._write([f"{index}/{number}", result])

    def parts(self, index: int) -> tuple[str, dict[int, str]] | None:
        """The division of an utterance and the results of its parts, by number; None for none."""
        offsets = self._parts.get(index)
        if not offsets:
            return None
        self._reread()
        found = {key: self._read(f"{index}/{key}", offset)[0] for key, offset in offsets.items()}
        text = {key: line.decode(errors="surrogateescape") for key, line in found.items()}
        return text.pop(""), {int(key): line for key, line in text.items()}

    def mark_stalled(self, indices: Sequence[int]) -> None:
        """Record utterances in whose batch the engine hung, also for the next run."""
        self._write([STALLED, *map(str, indices)])
        self.flush()
        self.stalled.update(indices)

    def keep(self, index: int, lines: Sequence[bytes] | None) -> None:
        """Replace the lines of an earlier run, or drop them for None."""
        if lines is None:
            self._offsets[index] = 0
        else:
            self.append(index, [line.decode() for line in lines])

    def drop_failed(self) -> int:
        """Drop the utterances with an error, so that they run again; return their number."""
        dropped = 0
        for index, lines in self.entries():
            if any(map(error_type, lines)):
                self.keep(index, None)
                dropped += 1
        return dropped

    def lines(self) -> Iterator[list[bytes]]:
        """The output lines of each utterance, in input order."""
        return (lines for _, lines in self.entries())

    def entries(self) -> Iterator[tuple[int, list[bytes]]]:
        """As `lines`, with each utterance's index; others may be appended in the meantime."""
        self._reread()
        with atomic.output_errors(self.part):
            for index, offset in enumerate(self._offsets):
                if offset:
                    yield index, self._read(str(index), offset)

    def _read(self, name: str, offset: int) -> list[bytes]:
        """The fields after ``name`` of the line at an offset."""
        first, *rest = self._fields(offset) or [b""]
        if first != name.encode():
            raise self._written_by_another()
        return rest

    def _take_in(self, fields: list[bytes], offset: int) -> bool:
        first, *rest = fields or [b""]
        if first == STALLED.encode():
            indices = map(self._index, rest)
            self.stalled.update(index for index in indices if index is not None)
        elif b"/" in first:
            self._load_part(first, offset, any(rest))
        elif (index := self._index(first)) is not None:
            self._offsets[index] = offset
            self._drop_parts(index, rest)
        return True

    def _load_part(self, first: bytes, offset: int, has_more: bool) -> None:
        """Take in the division of an utterance, or the result of a part of the latest one."""
        digits, _, number = first.partition(b"/")
        index = self._index(digits)
        if index is not None and has_more and not number:
            self._parts[index] = {"": offset}
        elif index in self._parts and has_more and PART_NUMBER.fullmatch(number):
            self._parts[index][number.decode()] = offset

    def _drop_parts(self, index: int, lines: Iterable[bytes]) -> None:
        """Forget the parts of an utterance with a result; after an error, a retry needs them."""
        if index in self._parts and not any(map(error_type, lines)):
            del self._parts[index]

    def _index(self, digits: bytes) -> int | None:
        """The index of an utterance; None where this run has no such utterance."""
        count = len(self._offsets)
        index = int(digits) if digits.isdigit() and len(digits) <= len(str(count)) else count
        return index if index < count and digits == b"%d" % index else None
