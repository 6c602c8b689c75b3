"""Shards of embeddings: what is written, what a kill at any moment leaves, and what is read."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runkit import tree
from speechkit.errors import EmbeddingInvalid, OutputConflict, UsageError
from speechkit.io import atomic
from speechkit.io.embedding_shards import INDEX, ShardRows, load_embeddings
from speechkit.records import Record
from speechkit.stages.embed import former_shards, shard_writer
from speechkit.stages.embed.output_folder import OutputFolder, place
from speechkit.stages.embed.vectors import VECTORS, packed, unpacked

ROWS, WIDTH = 3, 4
WATCHED = {shard_writer.__file__, former_shards.__file__, atomic.__file__}
FAILED = {"type": "AudioNotFound", "message": "no such file"}


def vector(index: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng([index, seed]).normal(size=WIDTH).astype(np.float32)


def line(index: int, *, seed: int = 0, heads: tuple[str, ...] = ("text",)) -> Record:
    """Of the journal: an utterance with new vectors."""
    vectors = {"embeddings": vector(index, seed)}
    vectors |= {name: vector(index, seed)[:2] for name in heads}
    texts = packed(vectors, "float32")
    return {"audio_filepath": f"/{index}.wav", **place(index, ROWS), VECTORS: texts}


def failed(index: int) -> Record:
    return {"audio_filepath": f"/{index}.wav", "error": FAILED}


def kept(folder: Path) -> list[Record]:
    """The successful lines of the index, as a later run takes them over."""
    lines = map(json.loads, (folder / INDEX).read_text().splitlines())
    return [one for one in lines if "error" not in one]


def publish(folder: Path, records: list[Record]) -> None:
    """As `PartFile.publish` does it."""
    folder.mkdir(exist_ok=True)
    atomic.sweep(folder / INDEX)
    with atomic.publish(folder / INDEX) as file:
        for record in OutputFolder(folder, "float32", ROWS).conclude(iter(records)):
            file.write(json.dumps(record).encode() + b"\n")


def fresh(count: int) -> list[Record]:
    return [failed(index) if index in (0, 4) else line(index) for index in range(count)]


def test_rows_are_in_the_order_of_the_input(tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    assert sorted(tree(tmp_path)) == [
        ".embeddings.json",
        *(f"embeddings-0000{number}.npy" for number in range(3)),
        INDEX,
        *(f"text-0000{number}.npy" for number in range(3)),
    ]
    assert [len(np.load(tmp_path / f"text-0000{n}.npy")) for n in range(3)] == [3, 3, 1]
    found = load_embeddings(tmp_path)
    assert found.names == ("embeddings", "text")
    assert found.failed == [0, 4]
    assert found.array.shape == (7, WIDTH)
    for index in range(7):
        expected = np.full(WIDTH, np.nan) if index in (0, 4) else vector(index)
        assert np.array_equal(found.array[index], expected, equal_nan=True)
        assert np.array_equal(found.vectors("text")[index], expected[:2], equal_nan=True)


def test_where_all_fail_there_are_rows_without_width(tmp_path: Path) -> None:
    publish(tmp_path, [failed(index) for index in range(4)])
    assert load_embeddings(tmp_path).array.shape == (4, 0)
    publish(tmp_path, [failed(0), line(1), line(2), line(3)])
    assert tree(tmp_path) == tree_of(tmp_path / "other", [failed(0), *map(line, (1, 2, 3))])


def tree_of(folder: Path, records: list[Record]) -> dict[str, bytes]:
    """What a folder holds after a single run over the records."""
    publish(folder, records)
    found = tree(folder)
    shutil.rmtree(folder)
    return found


def scenario(name: str, folder: Path) -> list[Record]:
    """Prepare a folder; return the records of the run that is killed in it."""
    if name == "first":
        return fresh(7)
    publish(folder, fresh(7))
    if name == "retry":
        successes = {one["audio_filepath"]: one for one in kept(folder)}
        records = [successes.get(f"/{index}.wav", line(index)) for index in range(7)]
        return [failed(0), *records[1:]]
    if name == "growth":
        return [failed(0), *kept(folder)[:3], line(4), *kept(folder)[3:], *map(line, (7, 8, 9))]
    return [line(index, seed=1, heads=("other",)) for index in range(4)]  # --restart


def _killed_at(step: int, folder: Path, records: list[Record]) -> bool:
    """Whether a process that publishes has been killed before that line of the files it runs."""
    pid = os.fork()
    if not pid:
        left = step

        def trace(frame: Any, event: str, arg: Any) -> Any:
            nonlocal left
            if event == "line":
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace if frame.f_code.co_filename in WATCHED else None

        sys.settrace(trace)
        publish(folder, records)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _copies(records: list[Record]) -> list[Record]:
    return [dict(record) for record in records]


def _require_right_rows(folder: Path, indices: dict[bytes, dict[str, Any]]) -> None:
    """The index, where there is one, is that of a run, and its rows are this run's."""
    if not (folder / INDEX).exists():
        return
    expected = indices[(folder / INDEX).read_bytes()]
    found = load_embeddings(folder)
    for row, record in enumerate(found.records):
        if "error" not in record:
            for name, vectors in expected.items():
                assert np.array_equal(found.vectors(name)[row], vectors[row])


def _known(folder: Path) -> dict[bytes, dict[str, Any]]:
    found = load_embeddings(folder)
    arrays = {name: found.vectors(name).copy() for name in found.names}
    return {(folder / INDEX).read_bytes(): arrays}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first", "retry", "growth", "restart"])
def test_a_kill_at_any_step(name: str, seed: int, tmp_path: Path) -> None:
    """The index always names right rows; another run ends as one that was never killed."""
    before, whole = tmp_path / "before", tmp_path / "whole"
    before.mkdir()
    records = scenario(name, before)
    indices = _known(before) if name != "first" else {}
    shutil.copytree(before, whole)
    publish(whole, _copies(records))
    indices |= _known(whole)
    stride = random.Random(seed).randrange(29, 40)
    kills = 0
    for step in range(1 + seed % stride, 10_000, stride):
        folder = tmp_path / "killed"
        shutil.copytree(before, folder)
        if not _killed_at(step, folder, _copies(records)):
            break
        kills += 1
        _require_right_rows(folder, indices)
        publish(folder, _copies(records))
        assert tree(folder) == tree(whole), f"step {step}"
        shutil.rmtree(folder)
    assert kills > 5


def test_a_run_over_what_is_there_touches_no_shard(tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    before = {path: path.stat().st_ino for path in tmp_path.glob("*.npy")}
    publish(tmp_path, scenario("retry", tmp_path))
    changed = {path.name for path, inode in before.items() if path.stat().st_ino != inode}
    assert changed == {"embeddings-00001.npy", "text-00001.npy"}


def test_what_a_shorter_run_leaves_is_removed_but_for_foreign_files(tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    (tmp_path / "their-00000.npy").write_bytes(b"x")
    (tmp_path / "embeddings-best.npy").write_bytes(b"x")
    publish(tmp_path, [line(0, heads=())])
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == [
        *("embeddings-00000.npy", "embeddings-best.npy", "their-00000.npy")
    ]


def test_rows_of_another_model_are_refused_beside_kept_ones(tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    before = tree(tmp_path)
    wider = packed({"embeddings": np.ones(9), "text": np.ones(2)}, "float32")
    earlier = kept(tmp_path)
    records = [failed(0), *earlier[:3], failed(4), *earlier[3:], {**line(7), VECTORS: wider}]
    with pytest.raises(OutputConflict, match="--restart"):
        publish(tmp_path, records)
    assert tree(tmp_path) == before


def test_a_line_holds_where_its_row_is_there(tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    lines = [json.loads(one) for one in (tmp_path / INDEX).read_text().splitlines()]
    holds = OutputFolder(tmp_path, "float32", ROWS).holds
    assert [holds(index, one) for index, one in enumerate(lines)] == [
        *(False, True, True, True, False, True, True)  # a row of NaN is no vector
    ]
    assert not holds(2, lines[1])
    assert not holds(1, {**lines[1], "row": "1"})
    assert not OutputFolder(tmp_path, "float16", ROWS).holds(1, lines[1])
    assert not holds(7, place(7, ROWS))
    (tmp_path / "text-00001.npy").unlink()
    assert not OutputFolder(tmp_path, "float32", ROWS).holds(3, lines[3])
    for forged in ({}, {"../a": "AAAA"}, {"embeddings": 7}, {"embeddings": "?"}, ["a"]):
        assert not holds(1, {**lines[1], VECTORS: forged})
    assert holds(1, line(1))


def test_nothing_that_is_not_finite_gets_a_row() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(EmbeddingInvalid, match="NaN or infinite"):
            packed({"embeddings": np.array([1, value], np.float32)}, "float32")
    large = {"embeddings": np.array([1, 70_000], np.float32)}
    with pytest.raises(EmbeddingInvalid, match="too large for float16"):
        packed(large, "float16")
    assert (
        unpacked(packed(large, "float32"), "float32")["embeddings"] == large["embeddings"].tobytes()
    )
    nan = packed({"embeddings": np.zeros(2, np.float32)}, "float32")
    nan["embeddings"] = "AADAfwAAwH8="
    with pytest.raises(ValueError, match="not finite"):
        unpacked(nan, "float32")


def test_a_shard_is_what_numpy_reads_and_nothing_else_is_a_shard(tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    path = tmp_path / "embeddings-00001.npy"
    rows = ShardRows(path)
    assert (rows.rows, rows.width, rows.dtype) == (3, WIDTH, "float32")
    assert rows.read(0, 3) == np.load(path).tobytes()
    rows.close()
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"x", content.replace(b"<f4", b"<i4"), b""):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"size|not a shard"):
            ShardRows(path)


def _change(folder: Path) -> Iterator[list[Record]]:
    lines = [json.loads(one) for one in (folder / INDEX).read_text().splitlines()]
    yield lines[::-1]
    yield [*lines[2:3], *lines[4:]]


def test_an_index_that_was_sorted_or_filtered_keeps_its_vectors(tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    for lines in _change(tmp_path):
        (tmp_path / INDEX).write_text("".join(json.dumps(one) + "\n" for one in lines))
        found = load_embeddings(tmp_path)
        for row, record in enumerate(found.records):
            index = int(record["audio_filepath"][1:-4])
            if "error" not in record:
                assert np.array_equal(found.array[row], vector(index))


def test_one_shard_is_mapped_and_not_copied(tmp_path: Path) -> None:
    publish(tmp_path, [line(0), line(1)])
    assert isinstance(load_embeddings(tmp_path).array, np.memmap)


@pytest.mark.parametrize("harm", ["gone", "short", "pickle"])
def test_broken_shards_are_named(harm: str, tmp_path: Path) -> None:
    publish(tmp_path, fresh(7))
    path = tmp_path / "embeddings-00001.npy"
    if harm == "gone":
        path.unlink()
    elif harm == "short":
        np.save(path, np.load(path)[:1])
    else:
        np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UsageError, match=r"embeddings-00001\.npy"):
        _ = load_embeddings(tmp_path).array
    with pytest.raises(UsageError, match="there are: embeddings, text"):
        load_embeddings(tmp_path).vectors("other")
    with pytest.raises(UsageError, match=f"holds no {INDEX}"):
        load_embeddings(tmp_path / "nowhere")
