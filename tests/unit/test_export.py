"""Records to files: no two meet, none leads out of the folder, no reference is lost."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import OutputConflict, OutputFailed, UsageError
from speechkit.formats import formats_of
from speechkit.io import manifest
from speechkit.io.audio_survey import Surveyor, normal
from speechkit.records import Record
from speechkit.runtime.export import Export, Results, Written
from speechkit.runtime.output_tree import claim, owner_path
from speechkit.runtime.recordings import tree_of

ASR_FORMATS = formats_of("asr")
VAD_FORMATS = formats_of("vad")


def heard(path: str, text: str = "hello", **more: object) -> Record:
    words = [{"word": text, "start": 0.5, "end": 1.0, "confidence": 0.5}]
    segments = [{"start": 0.5, "end": 1.0, "text": text, "words": words}]
    return {"audio_filepath": path, "duration": 2.0, "segments": segments, **more}


FORMATS = {**ASR_FORMATS, **VAD_FORMATS}


def export(
    records: Sequence[Record],
    folder: Path,
    *names: str,
    joined: str | None = None,
    restart: bool = False,
    result: str = "-",
) -> Written:
    formats = [FORMATS[name] for name in names]
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write("".join(f"{manifest.dump(record)}\n" for record in records).encode())
        file.flush()
        with Results(file.name, []) as inputs:
            work = Export(inputs, result, folder, formats, joined=joined, restart=restart)
            with work.claimed():
                return work.write(lambda: (utterance.record for utterance in inputs))


def written(records: Sequence[Record], folder: Path, *names: str, joined: str | None = None) -> int:
    done = export(records, folder, *names, joined=joined)
    assert not done.failures
    return done.files


def tree(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found if not is_owner(path))


def is_owner(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix == ".json"


def test_equal_basenames_keep_their_folders(tmp_path: Path) -> None:
    paths = ["/talks/mon/a.wav", "/talks/tue/a.wav", "/talks/tue/b.flac"]
    count = written([heard(path, path) for path in paths], tmp_path, "txt", "srt")
    assert count == 6
    names = ["mon/a", "tue/a", "tue/b"]
    assert tree(tmp_path) == sorted(f"{name}{end}" for name in names for end in (".txt", ".srt"))
    for name, path in zip(names, paths, strict=True):
        assert (tmp_path / f"{name}.txt").read_text() == f"{path}\n"


def test_stems_that_differ_only_by_suffix(tmp_path: Path) -> None:
    paths = ["/t/a.wav", "/t/a.flac", "/t/a.wav.mp3", "/t/b.mp3", "/t/a"]
    assert written([heard(path, path) for path in paths], tmp_path, "txt") == 5
    assert len(tree(tmp_path)) == 5
    texts = {(tmp_path / name).read_text().strip() for name in tree(tmp_path)}
    assert texts == set(paths)


def test_a_name_of_dots(tmp_path: Path) -> None:
    """No suffix to the pathlib of some Pythons, one to that of others."""
    assert written([heard("/t/..wav"), heard("/t/b.wav")], tmp_path, "txt") == 2
    assert tree(tmp_path) == ["..wav.txt", "b.txt"]


AWKWARD = st.text(st.sampled_from("ab./ ~"), min_size=1, max_size=12)


@given(st.lists(AWKWARD, min_size=1, max_size=8, unique=True))
def test_no_name_leads_out_and_no_two_meet(names: list[str]) -> None:
    paths = [f"/{name}.wav" for name in names]
    surveyor = Surveyor()
    for path in paths:
        surveyor.add(normal(path))
    tree = replace(tree_of(surveyor.result()), folder="/out")
    places = {str(tree.recording_path(path, ".srt")) for path in paths}
    assert len(places) == len({os.path.normpath(path).lstrip("/") for path in paths})
    assert all(os.path.normpath(place) == place.rstrip("/") for place in places)
    assert all(place.startswith("/out/") for place in places)


@pytest.mark.parametrize(
    "path", ["/t/x/../../../etc/passwd.wav", "//a.wav", "/../../b.wav", "/t/~/c.wav", "/t/./d.wav"]
)
def test_nothing_is_written_outside(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "deep" / "out"
    written([heard("/t/one.wav"), heard(path, id="../../id/../x")], folder, "txt", "srt")
    assert len(tree(tmp_path)) == 4
    assert all(name.startswith("deep/out/") for name in tree(tmp_path))


def test_pieces_of_one_recording_are_joined_in_order_of_time(tmp_path: Path) -> None:
    def piece(start: float, text: str) -> Record:
        segment = {"start": start, "end": start + 1, "text": text}
        return {
            "audio_filepath": "/t/a.wav",
            "offset": start,
            "duration": 1.0,
            "segments": [segment],
        }

    failed: Record = {"audio_filepath": "/t/a.wav", "offset": 9, "error": {}, "pred_text": ""}
    export([piece(3.0, "two"), piece(0.5, "one"), failed], tmp_path, "txt", "tsv")
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"
    assert [line.split("\t")[0] for line in (tmp_path / "a.tsv").read_text().splitlines()][1:] == [
        "500",
        "3000",
    ]


def test_segment_lines_of_vad_are_segments(tmp_path: Path) -> None:
    lines: list[Record] = [
        {"audio_filepath": "/t/a.wav", "offset": 1.0, "duration": 0.5, "parent": "/t/a.wav"},
        {"audio_filepath": "/t/a.wav", "offset": 2.0, "duration": 0.25, "parent": "/t/a.wav"},
    ]
    written(lines, tmp_path, "rttm")
    rows = [line.split() for line in (tmp_path / "a.rttm").read_text().splitlines()]
    assert [(row[3], row[4]) for row in rows] == [("1.000", "0.500"), ("2.000", "0.250")]


def test_names_that_are_too_long_end_in_a_digest(tmp_path: Path) -> None:
    stems = ["x" * 236, "東" * 80, "東" * 80 + "a", "y" * 251, "y" * 250 + "z"]
    lines = [heard(f"/t/{stem}.wav") for stem in stems]
    assert written(lines, tmp_path, "srt", "textgrid") == 10
    names = tree(tmp_path)
    assert len(names) == 10
    assert max(len(name.encode()) for name in names) <= 255
    assert f"{stems[0]}.srt" in names
    assert f"{stems[1]}.srt" in names  # 244 bytes: the name of a temporary file would take more
    assert written(lines, tmp_path, "srt", "textgrid") == 10
    assert tree(tmp_path) == names


def test_a_failed_recording_has_no_file(tmp_path: Path) -> None:
    failed: Record = {"audio_filepath": "/t/bad.wav", "error": {"type": "X", "message": "y"}}
    assert written([heard("/t/a.wav"), failed], tmp_path, "txt") == 1
    assert tree(tmp_path) == ["a.txt"]
    assert written([failed], tmp_path / "none", "txt") == 0


def test_one_file_holds_all(tmp_path: Path) -> None:
    records = [heard("/t/a.wav", "first"), heard("/t/u/a.wav", "second")]
    assert written(records, tmp_path, *ASR_FORMATS, joined="asr") == len(ASR_FORMATS)
    assert len(tree(tmp_path)) == len(ASR_FORMATS)
    assert (tmp_path / "asr.txt").read_text() == "a\tfirst\nu/a\tsecond\n"


@pytest.mark.parametrize("audio", ["talk.wav", "talk.WAV", "talk.flac", "talk.unheard-of"])
def test_a_reference_beside_audio_is_never_overwritten(tmp_path: Path, audio: str) -> None:
    (tmp_path / audio).touch()
    (tmp_path / "talk.txt").write_text("the reference")
    with pytest.raises(OutputConflict, match="would be read as the reference of talk"):
        written([heard(str(tmp_path / audio))], tmp_path, "txt")
    assert (tmp_path / "talk.txt").read_text() == "the reference"
    (tmp_path / "talk.txt").unlink()  # what was heard must not become the reference either
    with pytest.raises(OutputConflict, match="would be read as the reference of talk"):
        written([heard(str(tmp_path / audio))], tmp_path, "txt")
    written([heard(str(tmp_path / audio))], tmp_path, "srt")
    assert (tmp_path / "talk.srt").exists()


def test_the_reference_of_another_recording_or_of_a_link_is_spared_too(tmp_path: Path) -> None:
    store, talks = tmp_path / "store", tmp_path / "talks"
    for folder in (store, talks, talks / "mon"):
        folder.mkdir()
    (store / "1.flac").touch()
    (talks / "a.flac").symlink_to(store / "1.flac")
    (talks / "mon" / "a.flac").touch()
    (talks / "a.txt").write_text("the reference")
    for audio in (talks / "a.flac", talks / "mon" / "a.flac"):
        with pytest.raises(OutputConflict):
            written([heard(str(audio))], talks, "txt")
    (talks / "asr.flac").touch()
    (talks / "asr.txt").write_text("the reference")
    with pytest.raises(OutputConflict):
        written([heard(str(talks / "mon" / "a.flac"))], talks, "txt", joined="asr")


def test_own_text_files_are_written_again(tmp_path: Path) -> None:
    for text in ("first", "second"):
        written([heard("/t/a.wav", text)], tmp_path, "txt")
    assert (tmp_path / "a.txt").read_text() == "second\n"


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"f\xff")
    records = [heard(f"/t/{name}.wav"), heard("/t/b.wav")]
    written(records, tmp_path, "txt")
    assert (tmp_path / f"{name}.txt").exists()
    written(records, tmp_path, "txt", joined="asr")
    assert (tmp_path / "asr.txt").read_text() == "f\ufffd\thello\nb\thello\n"


def test_a_folder_is_one_results(tmp_path: Path) -> None:
    """Another result over the same recordings is another result; --restart takes the folder."""
    one, other = str(tmp_path / "one.jsonl"), str(tmp_path / "other.jsonl")
    export([heard("/t/a.wav", "first")], tmp_path / "out", "srt", result=one)
    export([heard("/t/a.wav", "again")], tmp_path / "out", "srt", result=one)
    with pytest.raises(OutputConflict, match=r"output of another run \(\.export\.srt\.json says"):
        export([heard("/t/a.wav", "second")], tmp_path / "out", "srt", result=other)
    assert "again" in (tmp_path / "out" / "a.srt").read_text()
    export([heard("/t/a.wav")], tmp_path / "out", "txt", result=other)
    export([heard("/t/a.wav", "second")], tmp_path / "out", "srt", result=other, restart=True)
    assert "second" in (tmp_path / "out" / "a.srt").read_text()
    (tmp_path / "out").rename(tmp_path / "moved")
    export([heard("/t/a.wav", "third")], tmp_path / "moved", "srt", result=other)


def test_what_is_refused_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(OutputConflict, match="exists already"):
        export([heard("/t/a.wav")], tmp_path, "srt", "txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_nothing_is_removed(tmp_path: Path) -> None:
    """What is left of an earlier result is told."""
    export([heard("/t/a.wav"), heard("/t/b.wav")], tmp_path, "srt")
    failed: Record = {"audio_filepath": "/t/a.wav", "error": {"type": "X", "message": "y"}}
    done = export([failed, heard("/t/b.wav")], tmp_path, "srt")
    assert (done.files, done.failed) == (1, 1)
    assert done.failures == [
        f"{tmp_path}/a.srt: is from an earlier result, and its recording has failed now"
    ]
    assert tree(tmp_path) == ["a.srt", "b.srt"]


def test_every_spelling_of_a_path_is_one_recording(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.srt").write_text("mine")
    with pytest.raises(OutputConflict, match=r"x\.srt: exists already"):
        export([heard("//d/x.wav"), heard("/y/x.wav")], tmp_path, "srt")
    written([heard("/t/talk"), heard("/t/talk.srt")], tmp_path / "out", "srt")
    assert tree(tmp_path / "out") == ["talk.srt", "talk.srt.srt"]


def test_an_owner_is_known_in_any_order_of_keys(tmp_path: Path) -> None:
    """Such as that of a version that wrote them in another one."""
    owner = {"stage": "s2s", "speech": {"form": "wav", "style": None}, "allow_reinit": False}
    turned = dict(reversed(owner.items()))
    owner_path(tmp_path, "s2s").write_text(json.dumps(turned, indent=1) + "\n")
    assert not claim(tmp_path, "s2s", owner, restart=False)
    with pytest.raises(OutputConflict, match="output of another run"):
        claim(tmp_path, "s2s", {**owner, "allow_reinit": True}, restart=False)


def test_an_owner_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".export.srt.json")
    with pytest.raises(OutputFailed, match=r"\.export\.srt\.json: can't be written: not a regular"):
        export([heard("/t/a.wav")], tmp_path, "srt")
    with pytest.raises(UsageError, match="is not a folder"):
        export([heard("/t/a.wav")], tmp_path / ".export.srt.json", "srt")


def test_a_long_name_of_all_in_one(tmp_path: Path) -> None:
    written([heard("/t/a.wav")], tmp_path, "textgrid", joined="n" * 249)
    (name,) = tree(tmp_path)
    assert (len(name), name[:200], name[-9:]) == (255, "n" * 200, ".TextGrid")


def test_text_without_segments_is_the_recordings(tmp_path: Path) -> None:
    written([{"audio_filepath": "/t/a.wav", "duration": 2.0, "pred_text": "hi"}], tmp_path, "txt")
    assert (tmp_path / "a.txt").read_text() == "hi\n"
