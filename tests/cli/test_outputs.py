"""Formats through the command line, to files and to stdout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import srt

from runkit import tree, write_manifest
from speechkit.formats import formats_of
from sphinxkit import QUICK

ASR_FORMATS = formats_of("asr")
VAD_FORMATS = formats_of("vad")

CHECKER = Path(__file__).resolve().parents[2] / "scripts" / "check_subtitles.py"
ASR = ("asr", *QUICK)
EXTENSIONS = {name: module.extension for name, module in {**ASR_FORMATS, **VAD_FORMATS}.items()}


@pytest.fixture(scope="module")
def talks(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same basename in two folders, and twice in one with different suffixes."""
    folder = tmp_path_factory.mktemp("talks")
    for target, source in {
        "mon/a.flac": "awb/train.flac",
        "tue/a.flac": "slt/story.flac",
        "tue/a.oga": "kal16/problem.flac",
    }.items():
        (folder / target).parent.mkdir(exist_ok=True)
        shutil.copy(examples / source, folder / target)
    return folder


@pytest.fixture(scope="module")
def heard(speechkit: Any, talks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with every format that asr writes, of each recording and of all in one."""
    out = tmp_path_factory.mktemp("heard")
    formats = [part for name in ASR_FORMATS for part in ("-f", name)]
    speechkit(*ASR, talks, "--output-dir", out, *formats)
    speechkit(*ASR, talks, "--output-dir", out, *formats, "--one-file")
    return out


def seen(folder: Path) -> set[str]:
    return {name for name in tree(folder) if not Path(name).name.startswith(".")}


@pytest.mark.slow
def test_every_recording_has_its_own_files(heard: Path) -> None:
    names = ["mon/a.flac", "tue/a.flac", "tue/a.oga", "asr"]
    assert seen(heard) == {"asr.jsonl"} | {
        f"{name}{EXTENSIONS[form]}" for name in names for form in ASR_FORMATS
    }
    assert "train" in (heard / "mon" / "a.flac.txt").read_text()
    assert "story" in (heard / "tue" / "a.flac.txt").read_text()
    assert "problem" in (heard / "tue" / "a.oga.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("form", ASR_FORMATS)
def test_asr_prints_each_format(speechkit: Any, talks: Path, heard: Path, form: str) -> None:
    printed = speechkit(*ASR, talks / "mon" / "a.flac", "--format", form).out
    assert printed
    assert printed == (heard / f"mon/a.flac{EXTENSIONS[form]}").read_bytes().replace(
        b"mon/a.flac", b"a"
    )


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, CHECKER, folder / "asr.jsonl", folder, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_no_format_loses_a_word_and_subtitles_keep_their_limits(heard: Path) -> None:
    done = check(heard)
    assert (done.stdout, done.returncode) == ("", 0)
    assert "3 recordings, 18 files" in done.stderr
    assert "columns" in check(heard, "--max-line-width", "20").stdout


@pytest.mark.slow
def test_the_checker_finds_what_is_missing_or_in_another_place(heard: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(heard, tmp_path / "copy")
    lost = folder / "mon" / "a.flac.srt"
    lost.write_text(lost.read_text().replace("train", ""))
    moved = folder / "tue" / "a.flac.txt"
    moved.write_text(" ".join(reversed(moved.read_text().split())))
    done = check(folder)
    assert done.returncode == 1
    assert f"{lost}: heard 'train', shown ''" in done.stdout
    assert f"{moved}: heard" in done.stdout
    assert all(line.startswith((f"{lost}: ", f"{moved}: ")) for line in done.stdout.splitlines())


@pytest.mark.slow
def test_subtitles_are_laid_out_as_asked(speechkit: Any, talks: Path, heard: Path) -> None:
    def lines(*options: object) -> list[str]:
        printed = speechkit(*ASR, talks / "mon" / "a.flac", "--format", "srt", *options).out
        return [line for cue in srt.parse(printed.decode()) for line in cue.content.split("\n")]

    (record,) = (
        record
        for record in map(json.loads, (heard / "asr.jsonl").read_text().splitlines())
        if record["audio_filepath"].endswith("mon/a.flac")
    )
    assert all(segment["words"] for segment in record["segments"])
    plain = lines("--max-line-width", 0, "--max-lines", 0, "--max-cue", 0)
    assert plain == [segment["text"] for segment in record["segments"]]
    narrow = lines("--max-line-width", 16)
    assert all(len(line) <= 16 for line in narrow)
    assert " ".join(narrow) == record["pred_text"]


@pytest.mark.slow
@pytest.mark.parametrize("form", VAD_FORMATS)
def test_vad_prints_each_format_as_it_writes_it(
    speechkit: Any, talks: Path, tmp_path: Path, form: str
) -> None:
    speechkit("vad", talks, "-f", form, "--output-dir", tmp_path, "--one-file")
    printed = speechkit("vad", talks, "--format", form).out
    assert printed
    assert printed == (tmp_path / f"vad{EXTENSIONS[form]}").read_bytes()
    if form != "audacity":  # its one time line needs the recordings' lengths
        assert speechkit("vad", talks, "--format", form, "--emit", "segments").out == printed


def test_the_manifest_goes_where_it_is_named(speechkit: Any, talks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    speechkit("vad", talks, "-f", "csv", "--output-dir", out, "-o", tmp_path / "m.jsonl")
    assert seen(tmp_path) == {
        "m.jsonl",
        "out/mon/a.flac.csv",
        "out/tue/a.flac.csv",
        "out/tue/a.oga.csv",
    }
    printed = speechkit("vad", talks, "--format", "jsonl").out
    assert printed == (tmp_path / "m.jsonl").read_bytes()
    assert speechkit("vad", talks, "-o", "-").out == printed


@pytest.mark.slow
def test_a_reference_beside_the_audio_is_not_overwritten(
    speechkit: Any, examples: Path, tmp_path: Path
) -> None:
    for suffix in (".flac", ".txt"):
        shutil.copy(examples / "awb" / f"train{suffix}", tmp_path)
    reference = (tmp_path / "train.txt").read_bytes()
    done = speechkit(*ASR, tmp_path, "-f", "txt", "--output-dir", tmp_path, code=2)
    assert "would be read as the reference of train.flac" in done.err
    assert (tmp_path / "train.txt").read_bytes() == reference
    speechkit(*ASR, tmp_path, "-f", "tsv", "--output-dir", tmp_path)
    assert (tmp_path / "train.tsv").exists()
    assert (tmp_path / "train.txt").read_bytes() == reference


def test_nothing_is_written_outside_whatever_a_manifest_says(
    speechkit: Any, examples: Path, tmp_path: Path
) -> None:
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)
    audio = examples / "awb" / "train.flac"
    lines = [
        {"audio_filepath": f"{tmp_path}/a/../../{tmp_path.name}/x.flac", "id": "../../../x"},
        {"audio_filepath": f"{tmp_path}/a/b/../../y.flac", "id": "/etc/y"},
        {"audio_filepath": "../../../z.flac", "id": "z"},
        {"audio_filepath": str(audio), "id": "w/../../w"},
    ]
    for name in "xyz":
        shutil.copy(audio, tmp_path / f"{name}.flac")
    write_manifest(inside / "in.jsonl", lines)
    before = seen(tmp_path)
    for more in ((), ("--emit", "segments")):
        out = inside / f"out{len(more)}"
        speechkit("vad", inside / "in.jsonl", "-f", "rttm", "--output-dir", out, *more)
        assert len([name for name in seen(out) if name.endswith(".rttm")]) == 4
    new = seen(tmp_path) - before
    assert all(name.startswith(("a/b/c/out0/", "a/b/c/out2/")) for name in new)
    assert not (examples / "awb" / "train.rttm").exists()


def test_names_that_are_not_utf8(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"f\xff\xfe.flac")
    shutil.copy(examples / "awb" / "train.flac", tmp_path / name)
    out = tmp_path / "out.jsonl"
    speechkit("vad", tmp_path / name, "-o", out)
    (record,) = map(json.loads, out.read_text("utf-8").splitlines())
    assert record["audio_filepath"] == str(tmp_path / name)
    again = speechkit("vad", "-", stdin=out.read_bytes(), code=0).out
    assert json.loads(again)["segments"] == record["segments"]
    assert speechkit("vad", tmp_path / name, "--format", "rttm").out.decode("utf-8")
    speechkit("vad", out, "--output-dir", tmp_path / "o", "-f", "rttm")
    assert (tmp_path / "o" / name).with_suffix(".rttm").exists()
