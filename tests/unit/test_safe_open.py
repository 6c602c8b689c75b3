"""Files that speechkit keeps beside results, in folders where others may put what they like."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from speechkit.cluster import attempts
from speechkit.cluster.attempts import End
from speechkit.cluster.run_record import Array, locked_record
from speechkit.errors import NameImpossible, OutputConflict, OutputFailed
from speechkit.io import atomic, audio_out, safe_open, typed_json
from speechkit.io.journal import Journal
from speechkit.io.part_file import marker_path, part_path
from speechkit.io.run_identity import RunIdentity
from speechkit.io.shared_folder import exclusive_lock

IDENTITY = RunIdentity("test", {}, "sha256:0", 4)


def _journal(out: Path) -> None:
    with Journal(out, IDENTITY, restart=True) as journal:
        journal.append(0, ["{}"])
        journal.flush()


def _lock(path: Path) -> None:
    with exclusive_lock(path):
        pass


def _lock_run(out: Path) -> None:
    with locked_record(str(out.parent)):
        pass


GROWING: dict[str, tuple[str, Callable[[Path], object]]] = {
    "part": ("out.jsonl.part", _journal),
    "tries": ("slurm/out.attempts", lambda out: attempts.finish(out, End(1.0, 3, 0))),
    "lock of a run": ("slurm/run.lock", _lock_run),
    "lock of a model": (".model.lock", lambda out: _lock(out.with_name(".model.lock"))),
}


@pytest.mark.parametrize("kind", ["link", "dangling link", "second name"])
@pytest.mark.parametrize("which", GROWING)
def test_nothing_is_written_to_somebody_elses_file(which: str, kind: str, tmp_path: Path) -> None:
    name, write = GROWING[which]
    precious = tmp_path / "precious"
    if kind != "dangling link":
        precious.write_text("mine")
    planted = tmp_path / name
    planted.parent.mkdir(exist_ok=True)
    if kind == "second name":
        planted.hardlink_to(precious)
    else:
        planted.symlink_to(precious)
    with pytest.raises(OutputConflict, match=r"is a link|has a second name"):
        write(tmp_path / "out.jsonl")
    assert precious.read_text() == "mine" if kind != "dangling link" else not precious.exists()


@pytest.mark.parametrize("name", [lambda out: out, marker_path])
def test_a_link_at_the_outputs_name_is_told_of_at_once(
    name: Callable[[Path], Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    name(out).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputConflict, match="is a link"):
        _journal(out)
    assert not part_path(out).exists()


def test_final_files_replace_no_link(tmp_path: Path) -> None:
    planted = tmp_path / "summary.json"
    planted.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputConflict, match="is a link"):
        atomic.write_text(planted, "{}")
    with pytest.raises(NameImpossible, match="a link stands there"):
        audio_out.write(planted, np.zeros(160, np.float32), 16_000, "wav")
    assert planted.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_that_was_written_is_the_one_that_is_renamed(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with pytest.raises(OutputFailed, match="somebody has replaced it"), atomic.publish(out) as file:
        file.write(b"mine")
        (temporary,) = tmp_path.iterdir()
        temporary.unlink()
        temporary.symlink_to("/etc/hostname")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_named_as_a_temporary_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".out.jsonl.12345678.tmp").mkdir()
    with Journal(tmp_path / "out.jsonl", IDENTITY) as journal:
        journal.publish(chain.from_iterable(journal.lines()), dict)
    assert (tmp_path / "out.jsonl").exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        safe_open.read_bounded(tmp_path / "pipe", 10)
    with pytest.raises(OutputConflict, match="is no file"):
        safe_open.open_append(tmp_path / "pipe")


@pytest.mark.parametrize(
    "fields",
    [
        *(None, [1], 3, {}, {"job": 1}, {"job": 1, "offset": None}, {"job": -1, "offset": 0}),
        *(
            {"job": 1, "offset": 0, "more": 1},
            {"job": True, "offset": 0},
            {"job": 1e9, "offset": 0},
        ),
        *({"job": 10**40, "offset": 0}, {"job": float("nan"), "offset": 0}),
    ],
)
def test_what_is_no_such_record(fields: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        typed_json.to_dataclass(Array, fields)
    assert typed_json.to_dataclass(Array, {"job": 1, "offset": 0}) == Array(1, 0)


def test_nested_too_deeply() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        typed_json.parse(b"[" * 100_000)
