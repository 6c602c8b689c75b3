"""What is done with vectors: neighbours, near duplicates and probes, against plain loops."""

from __future__ import annotations

import json
import os
import resource
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speechkit.embeddings import unit_blocks
from speechkit.embeddings.near_duplicates import near_duplicates
from speechkit.embeddings.probe import probe
from speechkit.embeddings.queries import queries
from speechkit.embeddings.search import Query, nearest
from speechkit.errors import UsageError
from speechkit.io.embedding_shards import EMBEDDINGS, Embeddings, load_embeddings, shard_path

ROWS = 7  # of a shard
MANIFEST = str(Path(__file__).with_name("heard.jsonl"))
Array = NDArray[np.float32]
Save = Callable[..., Embeddings]


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Vectors in shards of 7 rows and blocks of 3, with an index; ``keys`` of each utterance."""
    monkeypatch.setattr(unit_blocks, "ROWS", 3)

    def write(vectors: Array, keys: Sequence[dict[str, Any]] | None = None) -> Embeddings:
        lines = []
        for row in range(len(vectors)):
            place = {"shard": row // ROWS, "row": row % ROWS}
            own = keys[row] if keys else {}
            failed = {"error": {"type": "AudioNotFound", "message": "gone"}}
            is_there = bool(np.isfinite(vectors[row]).all())
            line = {"audio_filepath": f"/{row}.wav", "id": f"u{row}", **own, **place}
            lines.append({**line, **({} if is_there else failed)})
        for number in range(-(-len(vectors) // ROWS)):
            path = shard_path(tmp_path, EMBEDDINGS, number)
            np.save(path, vectors[number * ROWS : (number + 1) * ROWS])
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / "index.jsonl").write_text(text)
        return load_embeddings(tmp_path)

    return write


def unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture
def some() -> Array:
    """20 vectors, of which two are of failed utterances."""
    vectors = np.random.default_rng(3).normal(0, 1, (20, 6)).astype(np.float32)
    vectors[[4, 15]] = np.nan
    return vectors


def test_neighbours_are_those_of_a_plain_loop(save: Save, some: Array) -> None:
    saved = save(some)
    asked = [Query("new", some[3] * 5), Query("row 8", some[8], 8)]
    found = nearest(saved, EMBEDDINGS, asked, 5)
    assert found.left_out == 2
    similar = unit(np.stack([some[3], some[8]])) @ unit(some).T
    similar[1, 8] = np.nan
    for neighbours, row in zip(found.neighbours, similar, strict=True):
        expected = [one for one in np.argsort(-row) if np.isfinite(row[one])][:5]
        assert [one.row for one in neighbours] == expected
        values = [one.similarity for one in neighbours]
        np.testing.assert_allclose(values, row[expected], atol=1e-6)
    assert found.neighbours[0][0].row == 3


def test_more_neighbours_than_there_are(save: Save, some: Array) -> None:
    found = nearest(save(some), EMBEDDINGS, [Query("row 8", some[8], 8)], 100)
    assert sorted(one.row for one in found.neighbours[0]) == sorted({*range(20)} - {4, 8, 15})


def test_queries_are_ids_and_rows(save: Save, some: Array) -> None:
    saved = save(some, [{"id": "7"} if row == 2 else {} for row in range(20)])
    found = queries(saved, EMBEDDINGS, ["u5", "7", "8"], "auto")
    assert [one.row for one in found] == [5, 2, 8]  # an id comes before a number
    np.testing.assert_array_equal(found[1].vector, some[2])


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("u4", "row 4 has no vector, because its utterance failed"),
        ("20", "no id and no row of .* \\(rows 0 to 19\\), and no such file"),
        ("9" * 5000, "no id and no row"),
        ("7", "the id of 2 utterances, in the rows 2, 3; name a row"),
        (MANIFEST, "a manifest; a query is an audio file"),
        (__file__, "nothing beside its index tells which engine made it"),
    ],
)
def test_queries_that_are_none(query: str, error: str, save: Save, some: Array) -> None:
    with pytest.raises(UsageError, match=error):
        saved = save(some, [{"id": "7"} if row in (2, 3) else {} for row in range(20)])
        queries(saved, EMBEDDINGS, [query], "auto")


def test_a_folder_without_vectors(save: Save, some: Array) -> None:
    """All its utterances have failed, or it has none."""
    failed = save(some[:, :0], [{"error": {}} for _ in some])
    with pytest.raises(UsageError, match="row 0 has no vector"):
        queries(failed, EMBEDDINGS, ["0"], "auto")
    empty = Embeddings(failed.folder, [], ())
    with pytest.raises(UsageError, match="holds no utterance"):
        queries(empty, EMBEDDINGS, ["0"], "auto")
    for one in (failed, empty):
        with pytest.raises(UsageError, match="holds no vector"):
            probe(one, EMBEDDINGS, "text", 2)
        assert not near_duplicates(one, EMBEDDINGS, 0.9).groups


def test_a_query_of_another_width(save: Save, some: Array) -> None:
    with pytest.raises(UsageError, match=r"the query has 3 values, the vectors of .* have 6"):
        nearest(save(some), EMBEDDINGS, [Query("short", some[0, :3])], 1)


@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.95])
def test_duplicates_are_those_of_a_plain_loop(threshold: float, save: Save, some: Array) -> None:
    near = some + np.random.default_rng(4).normal(0, 0.3, some.shape).astype(np.float32)
    vectors = np.concatenate((some, near, np.zeros((1, 6), np.float32)))
    found = near_duplicates(save(vectors), EMBEDDINGS, threshold)
    kept: list[int] = []
    expected: dict[int, list[int]] = {}
    for row in range(len(vectors) - 1):
        if not np.isfinite(vectors[row]).all():
            continue
        similar = unit(vectors[kept]) @ unit(vectors[row : row + 1])[0] if kept else np.zeros(0)
        if len(similar) and similar.max() >= threshold:
            expected.setdefault(kept[similar.argmax()], []).append(row)
        else:
            kept.append(row)
    assert {row: [one.row for one in group] for row, group in found.groups.items()} == expected
    assert sorted(found.left_out) == [4, 15, 24, 35, 40]
    assert {*range(41)} - found.dropped() == {*kept}


def test_no_chain_joins_what_is_not_alike(save: Save) -> None:
    angles = np.radians([0, 20, 40, 60])
    fan = np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)
    found = near_duplicates(save(fan), EMBEDDINGS, float(np.cos(np.radians(25))))
    assert {row: [one.row for one in group] for row, group in found.groups.items()} == {
        0: [1],
        2: [3],
    }


def test_duplicates_take_no_memory_of_the_whole(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_blocks, "ROWS", 32)

    def peak(count: int) -> int:
        saved = save(np.random.default_rng(1).normal(0, 1, (count, 512)).astype(np.float32))
        tracemalloc.start()
        near_duplicates(saved, EMBEDDINGS, 0.9)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(100), peak(400)
    assert large < small + 400 * 512  # a byte a value; the vectors have four


def labelled(speakers: int, each: int = 12) -> tuple[Array, list[dict[str, Any]]]:
    """Vectors in which the digit is plain, and the speaker plainer still."""
    random = np.random.default_rng(2)
    digits, voices = random.normal(0, 1, (3, 8)), random.normal(0, 3, (speakers, 8))
    keys = [
        {"text": f"d{number % 3}", "speaker": f"s{speaker}", "more": {"kind": number % 2}}
        for speaker in range(speakers)
        for number in range(each)
    ]
    noise = random.normal(0, 0.05, (len(keys), 8))
    vectors = np.array(
        [digits[int(one["text"][1])] + voices[int(one["speaker"][1:])] for one in keys]
    )
    return (vectors + noise).astype(np.float32), keys


@pytest.mark.slow
def test_a_probe_reads_a_label(save: Save) -> None:
    vectors, keys = labelled(5)
    vectors[3] = np.nan
    del keys[7]["text"]
    found = probe(save(vectors, keys), EMBEDDINGS, "text", 5)
    assert found.grouped
    assert (found.utterances, found.left_out, found.without_label) == (58, 1, 1)
    assert found.labels == ("d0", "d1", "d2")
    assert found.confusion.sum(1).tolist() == [19, 19, 20]
    assert found.baseline == 20 / 58
    assert len(found.folds) == 5
    speaker = probe(save(vectors, keys), EMBEDDINGS, "speaker", 3)
    assert (speaker.accuracy, speaker.grouped) == (1.0, False)


def test_speakers_are_kept_apart(save: Save) -> None:
    """A label that is the speaker's alone can't be read from other speakers."""
    vectors, keys = labelled(8)
    random = np.random.default_rng(5).permutation(8) % 2
    for one in keys:
        one["secret"] = str(random[int(one["speaker"][1:])])
    together = [{key: value for key, value in one.items() if key != "speaker"} for one in keys]
    assert probe(save(vectors, together), EMBEDDINGS, "secret", 4).accuracy > 0.95
    assert probe(save(vectors, keys), EMBEDDINGS, "secret", 4).accuracy < 0.8


@pytest.mark.parametrize(
    ("label", "folds", "error"),
    [
        ("none", 3, "--label none: no utterance has this key"),
        ("duration", 3, "--label duration: has 1 different values; a probe needs 2 to 1000"),
        ("text", 6, "--folds 6: there are only 5 speakers to keep apart"),
        ("speaker", 13, "--folds 13: only 12 utterances have the speaker 's0'"),
    ],
)
def test_what_can_not_be_probed(label: str, folds: int, error: str, save: Save) -> None:
    vectors, keys = labelled(5)
    with pytest.raises(UsageError, match=error):
        probe(save(vectors, [{**one, "duration": 1.0} for one in keys]), EMBEDDINGS, label, folds)


def test_a_nested_label(save: Save) -> None:
    assert probe(save(*labelled(5)), EMBEDDINGS, "more.kind", 2).labels == ("0", "1")


def test_more_shards_than_files_may_be_open(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the lines of the index are in another order than the rows."""
    vectors = np.random.default_rng(1).normal(0, 1, (300, 4)).astype(np.float32)
    saved = save(vectors)
    monkeypatch.setattr(unit_blocks, "ROWS", 100)
    order = np.random.default_rng(2).permutation(300)
    mixed = Embeddings(saved.folder, [saved.records[row] for row in order], saved.names)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 20, limits[1]))
    try:
        np.testing.assert_array_equal(mixed.vectors(), vectors[order])
        found = nearest(mixed, EMBEDDINGS, [Query("new", vectors[order[5]])], 1)
        near_duplicates(saved, EMBEDDINGS, 0.99999)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert found.neighbours[0][0].row == 5
