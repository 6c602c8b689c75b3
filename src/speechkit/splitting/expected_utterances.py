"""The utterances that a merge expects, and where the result of each lies."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b, sha256

from speechkit import keys
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest import (
    absolute,
    bare_identity,
    check,
    content_lines,
    folder_of,
    identity,
    read_lines,
)
from speechkit.io.manifest_checks import lacks_nothing
from speechkit.records import Record

ABSENT = -1
_Item = tuple[str, str]  # key and value, as text: 1 is not 1.0


class ExpectedUtterances:
    """One position an expected utterance, in input order; about 180 bytes of memory each.

    ``file``, ``offset`` and ``length`` say where the result of a position lies, ``file`` being
    ABSENT until there is one. Identities are kept as 128-bit digests. Several lines may share one
    (the channels of a call, a line that stands twice): their results are told apart by the keys
    that stages pass on untouched.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._shared: dict[bytes, list[int]] = {}
        self._twins: dict[int, list[_Item]] = {}  # of lines that share an identity and differ
        self.file = array("i")
        self.offset = array("Q")  # bytes
        self.length = array("I")  # bytes

    def __len__(self) -> int:
        return len(self.file)

    def expect(self, key: bytes) -> int:
        """Appends a position."""
        position = len(self.file)
        first = self._first.setdefault(key, position)
        if first != position:
            self._shared.setdefault(key, [first]).append(position)
        self.file.append(ABSENT)
        self.offset.append(0)
        self.length.append(0)
        return position

    def expect_manifest(self, manifest: str) -> str:
        """Appends the lines of a manifest; returns its fingerprint (see `SplitIndex`)."""
        folder = folder_of(manifest)
        digest, hashes, differing = sha256(), array("q"), set[bytes]()
        for line, record in read_lines(manifest, lacks_nothing):
            digest.update(line + b"\n")
            hashes.append(hash(line))
            key = expected_key(absolute(record, folder))
            position = self.expect(key)
            if hashes[self._first[key]] != hashes[position]:
                differing.add(key)
        twins = {position for key in differing for position in self._shared[key]}
        if twins:
            for position, (where, line) in enumerate(content_lines(manifest)):
                if position in twins:
                    record = check(parse_line(line, where), where, folder, lacks_nothing)
                    self._twins[position] = _items(record)
        return f"sha256:{digest.hexdigest()}"

    def positions(self, key: bytes) -> Sequence[int]:
        """The positions of an identity."""
        first = self._first.get(key)
        if first is None:
            return ()
        return self._shared.get(key) or (first,)

    def candidates(self, result: Record) -> Sequence[int]:
        """The positions that a result may belong to: none for an utterance nobody expects."""
        exact = self.positions(result_key(result))
        if any(self.file[position] == ABSENT for position in exact):
            return exact
        return (*exact, *self.positions(expected_key({**result, "duration": None})))

    def choose(self, record: Record, candidates: Sequence[int]) -> int:
        """The position that ``record`` belongs to, one without a result if there is one.

        Only lines whose passed-on keys are all in ``record`` come into question, of these the most
        particular ones; the keys that stages set decide among equals.
        """
        if len(candidates) == 1:
            return candidates[0]
        items = _items(record)
        lines = {position: self._twins.get(position, []) for position in candidates}
        kept = {p: _passed_on(line) for p, line in lines.items()}
        owners = [p for p, line in kept.items() if _restricted(items, line) == line]
        most = max((len(kept[position]) for position in owners), default=0)
        owners = [position for position in owners if len(kept[position]) == most]

        def disagreement(position: int) -> tuple[bool, int, int, int]:
            line = lines[position]
            changed = len(set(line) - set(items))
            return self.file[position] != ABSENT, changed, -len(line), position

        return min(owners or candidates, key=disagreement)

    def place(self, position: int, file: int, offset: int, length: int) -> None:
        self.file[position] = file
        self.offset[position] = offset
        self.length[position] = length


def result_key(result: Record) -> bytes:
    return _digest(identity(result))


def expected_key(line: Record) -> bytes:
    """The key of a manifest's line; one that states no duration is known by path and offset."""
    if "id" in line or line.get("duration") is not None:
        return _digest(identity(line))
    return _digest("bare " + bare_identity(line))


def _items(record: Record) -> list[_Item]:
    return [(key, repr(value)) for key, value in record.items()]


def _passed_on(items: list[_Item]) -> list[_Item]:
    return [item for item in items if item[0] not in keys.SET_BY_STAGES]


def _restricted(items: list[_Item], line: list[_Item]) -> list[_Item]:
    keys = {key for key, _ in line}
    return [item for item in items if item[0] in keys]


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
