"""The records of a run, read where they are torn, odd or somebody else's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from speechkit.cluster import attempts
from speechkit.cluster.attempts import Attempt, End
from speechkit.cluster.status import status
from speechkit.cluster.submission import array_chunks
from speechkit.errors import UsageError
from speechkit.reports.cluster import status_text


def _spoil(folder: Path, name: str, content: bytes | None) -> None:
    """A pipe for None, which would be waited for."""
    path = folder / "output" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)


BROKEN: list[tuple[str, bytes | None]] = [
    *(("slurm/data_split_01.attempts", None), ("data_split_01.jsonl.part", None)),
    *(("data_split_01.jsonl.part", b"notes\n"), ("data_split_01.jsonl.part", b"[1]\n")),
    *((".data_split_01.jsonl.run.json", text) for text in (b"null", b"[]", b"", b"[" * 100_000)),
    (".data_split_01.jsonl.run.json", b'{"utterances": "x", "bytes": 0, "errors": {}}'),
    (".data_split_01.jsonl.run.json", b'{"utterances": 1, "bytes": 0, "errors": {"a": "b"}}'),
    (".data_split_01.jsonl.run.json", None),
]


@pytest.mark.parametrize(("name", "content"), BROKEN)
def test_one_broken_split_hides_no_other(name: str, content: bytes | None, folder: Path) -> None:
    (folder / "output").mkdir()
    if name.endswith(".run.json"):
        (folder / "output" / "data_split_01.jsonl").touch()
    _spoil(folder, name, content)
    found = status(str(folder / "output"), str(folder / "splits"))
    assert [split.state for split in found.splits] == ["not started", "broken", "not started"]
    assert f"output/{name}: " in found.splits[1].reason
    assert f"  split 1 broken: {found.splits[1].reason}" in status_text(found)
    assert [split.number for split in found.incomplete] == [0, 1, 2]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "null",
            "[1]",
            "3",
            '"end"',
            "{}",
            '{"end": 3}',
            '{"end": {}}',
            '{"job": 1}',
            "[" * 100_000,
        ),
        '{"job": null, "host": 3, "log": [], "time": "x", "done": "y"}',
        '{"job": 1, "host": "", "log": "", "time": 1e999, "done": 0}',
        '{"job": 1, "host": "", "log": "", "time": 1, "done": 0, "more": 3}',
        '{"end": {"time": -1, "done": 3, "code": 0}}',
    ],
)
def test_an_odd_record_is_passed_over(line: str, tmp_path: Path) -> None:
    output = tmp_path / "data_split_00.jsonl"
    attempts.begin(output, 0)
    attempts.finish(output, End(1.0, 3, 0))
    record = tmp_path / "slurm" / "data_split_00.attempts"
    record.write_bytes(record.read_bytes() + line.encode() + b"\n\xff\n")
    (only,) = attempts.read(output)
    assert only.end == End(1.0, 3, 0)


@pytest.mark.parametrize(
    "changed",
    [
        *({"utterances": "x"}, {"utterances": None}, {"seconds": None}, {"seconds": float("nan")}),
        *({"seconds": 1e400}, {"bytes": -1}, {"more": 1}, None, [1]),
    ],
)
def test_an_odd_index_is_named(changed: dict[str, object] | list[int] | None, folder: Path) -> None:
    path = folder / "splits" / "data_splits.json"
    index = json.loads(path.read_text())
    split = index["splits"][1]
    index["splits"][1] = {**split, **changed} if isinstance(changed, dict) else changed
    path.write_text(json.dumps(index))
    with pytest.raises(UsageError, match=r"data_splits\.json: not an index of splits"):
        status(str(folder / "output"), str(folder / "splits"))


@pytest.mark.parametrize(
    "text",
    [
        *("null", "[]", "3", "", "[" * 100_000, '{"run": 3, "arrays": [], "merge": null}'),
        '{"run": {"stage": "vad", "options": [], "splits": 3, "output": [], "folder": null}, '
        '"arrays": [], "merge": null}',
        '{"run": {"stage": "vad", "splits": "s", "output": "o", "folder": "f", "options": []}, '
        '"arrays": [{"job": "x", "offset": 0}], "merge": null}',
    ],
)
def test_an_odd_record_of_a_run_is_named(text: str, folder: Path) -> None:
    _spoil(folder, "slurm/run.json", text.encode())
    with pytest.raises(UsageError, match=r"run\.json: no record of a submitted run"):
        status(str(folder / "output"), str(folder / "splits"))


def tried(job: int, done: int, end: int | None) -> Attempt:
    return Attempt(job, "", "", 0.0, done, None if end is None else End(0.0, end, 75))


@pytest.mark.parametrize(
    ("tries", "count"),
    [
        ([], 0),
        ([tried(7, 0, 0)], 1),
        ([tried(7, 0, 4)], 0),
        ([tried(7, 0, 4), tried(7, 4, 4), tried(7, 4, None)], 2),
        ([tried(6, 4, 4), tried(7, 4, 4)], 1),  # another job's tries don't count
        ([tried(7, 0, None), tried(7, 4, 4)], 1),  # killed, but what it had done is there
        ([tried(7, 0, None), tried(7, 0, 0)], 2),
    ],
)
def test_tries_that_finished_nothing(tries: list[Attempt], count: int) -> None:
    assert attempts.fruitless(tries, 7) == count


def test_a_torn_record_is_passed_over(tmp_path: Path) -> None:
    output = tmp_path / "data_split_00.jsonl"
    attempts.begin(output, 0)
    attempts.finish(output, End(1.0, 3, 0))
    record = tmp_path / "slurm" / "data_split_00.attempts"
    record.write_text(record.read_text() + '{"job": 3, "ho')
    (only,) = attempts.read(output)
    assert only.end == End(1.0, 3, 0)


def test_arrays_stay_below_the_limit() -> None:
    assert array_chunks([0, 1000, 1001, 1200, 2002], 1001) == {
        0: [0, 1000],
        1001: [0, 199],
        2002: [0],
    }
