"""Repeated audio, leaks between splits, and texts that were confused with each other."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runkit import write_manifest
from speechkit.stages.validate.across import across
from speechkit.stages.validate.compact import NumberTable, SimilarStrings, digest
from speechkit.stages.validate.splits import DataSet, Transcribed, split_of

Record = dict[str, Any]


def line(path: str, sound: int = 0, **keys: Any) -> Record:
    """A record of validate; ``sound`` stands for what is heard, 0 for what the path tells."""
    print_ = digest(str(sound or path)).to_bytes(8, "big").hex() * 2
    verdict = {"valid": True, "issues": [], "warnings": [], "measures": {"fingerprint": print_}}
    return {"audio_filepath": path, "duration": 1.0, **verdict, **keys}


def judged(records: Iterable[Record]) -> list[Record]:
    once = list(across(iter(records)))
    assert list(across(iter(once))) == once  # its own output is its input when failures run again
    return once


def issues(records: Iterable[Record]) -> list[list[str]]:
    return [record["issues"] for record in judged(records)]


def test_the_first_of_equal_utterances_stays_and_is_named() -> None:
    first, again, renamed = judged([line("/a", 1), line("/a", 1), line("/b", 1)])
    assert (first["valid"], first["issues"]) == (True, [])
    assert (again["valid"], again["issues"]) == (False, ["duplicate_line"])
    assert renamed["issues"] == ["duplicate_audio"]
    named = {"line": 1, "audio_filepath": "/a"}
    assert again["measures"]["duplicate_of"] == renamed["measures"]["duplicate_of"] == named


def test_slices_of_one_file_are_no_duplicates() -> None:
    slices = [line("/a", sound, offset=float(sound)) for sound in (1, 2, 3)]
    assert issues([*slices, line("/a", 2, offset=2.0)]) == [[], [], [], ["duplicate_line"]]


def test_audio_in_two_splits_is_a_leak_and_in_one_a_duplicate() -> None:
    train, test = {"split": "train"}, {"split": "test"}
    lines = [line("/a", 1, **train), line("/b", 1, **test), line("/c", 1, **train)]
    assert issues([*lines, line("/a", 1, **test)]) == [
        [],
        ["leaked_audio"],
        ["duplicate_audio"],
        ["leaked_audio"],
    ]


def test_a_speaker_belongs_to_the_split_that_had_it_first() -> None:
    lines = [
        line("/a", split="train", speaker="anna"),
        line("/b", split="train", speaker="anna"),
        line("/c", split="test", speaker="anna"),
        line("/d", split="test", speaker="ben"),
        line("/e", split="train", speaker="ben"),
        line("/f", speaker="ben"),
        line("/g", split="test"),
    ]
    found = judged(lines)
    leaked = ["leaked_speaker"]
    assert [record["issues"] for record in found] == [[], [], leaked, [], leaked, [], []]
    assert found[2]["measures"]["speaker_of"] == {"line": 1, "audio_filepath": "/a"}


def test_what_is_rejected_anyway_doesnt_reject_its_equals() -> None:
    bad = line("/a", 1, valid=False, issues=["clipped"])
    assert issues([bad, line("/b", 1), line("/c", 1)]) == [["clipped"], [], ["duplicate_audio"]]


def test_failed_utterances_pass_unchanged() -> None:
    failed = {"audio_filepath": "/a", "error": {"type": "TimeLimit", "message": ""}}
    failed |= {"valid": False, "issues": ["error"], "warnings": []}
    assert judged([failed, line("/b", 1), failed]) == [failed, line("/b", 1), failed]


def test_confused_texts_name_each_other() -> None:
    wrong: Record = {"valid": False, "issues": ["wrong_text"]}
    one, two = "a grain or two perhaps is good", "the captain went on deck at dawn"
    swapped = [
        line("/a", text=two, pred_text=one, **wrong),
        line("/b", text="quite another sentence", pred_text="nothing of the kind", **wrong),
        line("/c", text=one, pred_text=two.replace("deck", "dick"), **wrong),
    ]
    *_, last = judged(swapped)
    name = {"line": 1, "audio_filepath": "/a"}
    assert last["measures"]["text_belongs_to"] == last["measures"]["text_found_at"] == name
    assert "text_belongs_to" not in judged(swapped)[1]["measures"]


def test_a_hundred_bytes_an_utterance() -> None:
    count = 5_000
    folder = "/corpora/multilingual/en/clips/common_voice_en_"
    lines = (line(f"{folder}{number:08}.mp3", speaker=str(number // 50)) for number in range(count))
    tracemalloc.start()
    try:
        for _ in across(lines):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * count


def test_the_compact_tables_are_a_dict_and_a_list() -> None:
    rng = random.Random(0)
    keys = [rng.getrandbits(64) for _ in range(3000)] + [0, 2**64 - 1]
    table, expected = NumberTable(), dict[int, int]()
    for number, key in enumerate(keys, 1):
        table.add(key, number)
        expected[key] = number
    assert {key: table.get(key) for key in keys} == expected
    assert table.get(rng.getrandbits(64)) == 0
    names = [f"/a/{'é' * rng.randrange(9)}{rng.randrange(99)}\udcff" for _ in range(200)]
    names += ["", "x"]
    strings = SimilarStrings()
    for name in names:
        strings.append(name)
    assert [strings[at] for at in range(len(names))] == names


def test_the_split_of_a_source_is_in_its_name_or_that_of_its_folder() -> None:
    names = ["data/train.jsonl", "test-clean.json.gz", "dev/manifest.jsonl", "VAL_2", "constrained"]
    assert [split_of(name) for name in names] == ["train", "test", "dev", "val", ""]


def test_lines_get_their_split_only_where_there_are_several(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"audio_filepath": "a.wav"}\n')
    (tmp_path / "train2.jsonl").write_text('{"audio_filepath": "b.wav"}\n')
    test = tmp_path / "test"
    test.mkdir()
    (test / "c.wav").touch()
    (test / "m.jsonl").write_text('{"audio_filepath": "d.wav", "split": "dev"}\n')
    train = [str(tmp_path / "train.jsonl"), str(tmp_path / "train2.jsonl")]

    def splits(*sources: str) -> list[Any]:
        with DataSet(sources) as inputs:
            return [utterance.record.get("split") for utterance in inputs]

    assert splits(*train) == [None, None]
    assert splits(train[0], str(test), str(test / "m.jsonl")) == ["train", "test", "dev"]


def test_validate_finds_by_itself_what_kept_audio_from_being_transcribed(tmp_path: Path) -> None:
    lines = [
        {"audio_filepath": "/a", "pred_text": "", "error": {"type": "AudioEmpty", "message": ""}},
        {"audio_filepath": "/b", "pred_text": "", "error": {"type": "TimeLimit", "message": ""}},
        {"audio_filepath": "/c", "pred_text": "heard"},
    ]
    manifest = write_manifest(tmp_path / "v.asr.jsonl", lines)
    with Transcribed([str(manifest)]) as inputs:
        found = [utterance.record for utterance in inputs]
    assert found == [{"audio_filepath": "/a"}, *lines[1:]]
