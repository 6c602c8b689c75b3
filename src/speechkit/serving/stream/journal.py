"""The journal of a stream: a `PartFile` that also keeps the states from which it can go on.

Every line is ``checksum TAB state TAB event TAB event…`` in JSON: what the stream has said for good
since the line before, if anything, and its state after that. A line is there as a whole or not at
all, so a stream that is killed goes on from the last state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechkit.io import atomic, manifest, typed_json
from speechkit.io.part_file import PartFile
from speechkit.io.run_identity import RunIdentity
from speechkit.records import Record

END = b'{"type": "end"'


class StreamJournal(PartFile):
    """What a stream has said for good, on its way to ``OUT``.

    ``state``: that of the last line, None before the first.
    """

    def __init__(self, output: str | Path, identity: RunIdentity, *, restart: bool = False) -> None:
        self.state: Any = None
        self.has_ended = False
        super().__init__(output, identity, restart=restart)

    def append(self, events: Sequence[Record], state: Mapping[str, Any]) -> None:
        """Add what was said and the state after it, and write them out."""
        self._write([json.dumps(state), *map(manifest.dump, events)])
        self.flush()

    def events(self) -> Iterator[bytes]:
        """What was said, in order, in JSON. Raise `OutputConflict` where another run has written
        between it."""
        self._reread()
        with atomic.output_errors(self.part):
            self._reader.seek(0)
            offset = len(self._reader.readline())
            while offset < self._end:
                fields = self._fields(offset)
                if not fields:
                    raise self._written_by_another()
                yield from fields[1:]
                offset = self._reader.tell()

    def _take_in(self, fields: list[bytes], offset: int) -> bool:
        if not fields:
            return False
        self.state = typed_json.parse(fields[0])
        self.has_ended = fields[-1].startswith(END)
        return True
