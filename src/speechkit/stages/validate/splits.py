"""The inputs of validate: a data set in splits, as it is or transcribed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechkit.io import manifest
from speechkit.io.inputs import Inputs
from speechkit.records import Record

_SPLIT = re.compile(
    r"(?<![a-z])(train|dev|devel|val|valid|validation|test|eval|evaluation)(?![a-z])",
    re.IGNORECASE,
)


class DataSet(Inputs):
    """`Inputs` in which a line without a ``split`` gets that of its manifest or folder.

    Only where the names of the sources speak of several splits, as in ``train.jsonl test.jsonl``
    or ``data/dev-clean data/test-clean``. Parts of one split share their speakers rightly.
    """

    def __init__(self, sources: Sequence[str], *, limit: int | None = None) -> None:
        splits = {source: split_of(source) for source in sources}
        several = len(set(splits.values()) - {""}) > 1
        self._splits = splits if several else dict.fromkeys(splits, "")
        super().__init__(sources, limit=limit)

    def _open(self, source: str) -> str | list[Record]:
        opened = super()._open(source)
        if isinstance(opened, str):
            return opened
        return [self._with_split(record, source) for record in opened]

    def _read(self, source: str, faults: manifest.Faults) -> Iterator[tuple[Record, str]]:
        for record, written in super()._read(source, faults):
            yield self._with_split(record, source), written

    def _with_split(self, record: Record, source: str) -> Record:
        split = self._splits[source]
        return {**record, "split": split} if split and record.get("split") is None else record


class Transcribed(DataSet):
    """The output of `asr` as `Inputs`, without the errors of audio that it couldn't read.

    What is wrong with audio is for validate to find.
    """

    def _read(self, source: str, faults: manifest.Faults) -> Iterator[tuple[Record, str]]:
        for record, written in super()._read(source, faults):
            yield _without_audio_error(record), written


def _without_audio_error(record: Record) -> Record:
    error = record.get("error")
    if not (isinstance(error, dict) and str(error.get("type")).startswith("Audio")):
        return record
    return {key: value for key, value in record.items() if key not in ("error", "pred_text")}


def split_of(source: str) -> str:
    """The split that the name of a source speaks of, or else that of its folder; "" for none."""
    path = Path(source)
    for name in (manifest.manifest_stem(source), path.parent.name):
        if match := _SPLIT.search(name):
            return match[1].lower()
    return ""
