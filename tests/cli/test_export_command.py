"""`speechkit export`: a merged array as text equals the unsplit run, and no run loses another's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runkit import tree, write_manifest
from speechkit.formats import formats_of
from sphinxkit import QUICK

ASR_FORMATS = formats_of("asr")
S2S_FORMATS = formats_of("s2s")
VAD_FORMATS = formats_of("vad")

ASR = (*QUICK, "--words", "--workers", "1")
SPLITS = 4
LONG = "n" * 250


def flags(formats: Any) -> list[str]:
    return [part for name in formats for part in ("-f", name)]


def seen(folder: Path) -> dict[str, bytes]:
    """Without what says whose the folder is."""
    return {name: text for name, text in tree(folder).items() if not name.startswith(".")}


@pytest.fixture(scope="module")
def talks(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slices of equally named recordings, a name of 255 bytes, one of which all and one of which
    some is missing."""
    folder = tmp_path_factory.mktemp("talks")
    for name in ("mon/talk.flac", "tue/talk.flac", f"tue/{LONG}.flac"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(examples / "awb" / "train.flac", folder / name)
    lines: list[dict[str, Any]] = [
        {"audio_filepath": f"{day}/talk.flac", "offset": start, "duration": 1.4, "units": [7, 1]}
        for start in (2.8, 0.0, 1.4)  # not in order of time
        for day in ("mon", "tue")
    ]
    lines += [
        {"audio_filepath": f"tue/{LONG}.flac", "units": [3]},
        {"audio_filepath": "mon/late.flac", "units": [4]},
        {"audio_filepath": "tue/talk.flac", "offset": 90.0, "duration": 1.0, "units": [9]},
    ]
    write_manifest(folder / "data.jsonl", lines)
    return folder


def run_splits(folder: Path, numbers: Sequence[int], *more: str) -> None:
    """Side by side."""
    command = [sys.executable, "-m", "speechkit", "slurm", "task", "asr", "--split"]
    tasks = [[*command, str(number), "--", *ASR, *more] for number in numbers]
    begun = [subprocess.Popen(task, cwd=folder, stderr=subprocess.DEVNULL) for task in tasks]
    assert {one.wait(120) for one in begun} <= {0, 3}


@pytest.mark.slow
def test_a_merged_array_becomes_the_same_files_as_an_unsplit_run(
    speechkit: Any, talks: Path, tmp_path: Path, examples: Path
) -> None:
    """Also after a retry."""
    whole = tmp_path / "whole"
    asr = ("asr", talks / "data.jsonl", *ASR, *flags(ASR_FORMATS), "--output-dir", whole)
    merge = ("merge-results", "--input-pattern", "output/*_split_*.jsonl", "-o", "final.jsonl")
    every = flags({**ASR_FORMATS, **VAD_FORMATS, **S2S_FORMATS})

    def compare(code: int) -> dict[str, bytes]:
        speechkit(*merge, cwd=tmp_path, code=code)
        assert (tmp_path / "final.jsonl").read_bytes() == (whole / "asr.jsonl").read_bytes()
        texts = flags(ASR_FORMATS)
        speechkit("export", "final.jsonl", *texts, "--output-dir", "text", cwd=tmp_path, code=code)
        found = seen(tmp_path / "text")
        assert found == {name: it for name, it in seen(whole).items() if name != "asr.jsonl"}
        for name, source in (("a", whole / "asr.jsonl"), ("b", "final.jsonl")):
            for more in ((), ("--one-file",)):
                options = (*every, "--output-dir", name, *more)
                speechkit("export", source, *options, cwd=tmp_path, code=code)
        one, other = seen(tmp_path / "a"), seen(tmp_path / "b")
        assert {name.replace("asr.", "final."): it for name, it in one.items()} == other
        return found

    speechkit(*asr, code=3)
    speechkit("split-manifest", "--input", talks / "data.jsonl", "--splits", SPLITS, cwd=tmp_path)
    run_splits(tmp_path, range(SPLITS))
    found = compare(code=3)
    assert len(found) == 3 * len(ASR_FORMATS)
    assert found["mon/talk.ctm"].count(b"\n") > 4
    assert [name for name in found if name.startswith(f"tue/{LONG[:200]}") and name.endswith("srt")]
    assert max(len(os.path.basename(name)) for name in found) == 255  # noqa: PTH119

    shutil.copy(examples / "awb" / "train.flac", talks / "mon" / "late.flac")
    speechkit(*asr, "--retry-failed", code=3)
    results = enumerate(sorted((tmp_path / "output").glob("data_split_*.jsonl")))
    again = [number for number, path in results if '"error"' in path.read_text()]
    run_splits(tmp_path, again, "--retry-failed")
    assert compare(code=3).keys() - found.keys() == {
        f"mon/late{form.extension}" for form in ASR_FORMATS.values()
    }


@pytest.mark.slow
def test_splits_write_one_tree(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    """Whatever the folder that one split's recordings have in common."""
    names = ["a/x", "a/y", "b/x", "b/z"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(examples / "awb" / "train.flac", tmp_path / f"{name}.flac")
    lines = (json.dumps({"audio_filepath": f"{name}.flac"}) + "\n" for name in names)
    (tmp_path / "data.jsonl").write_text("".join(lines))
    split = ("--input", "data.jsonl", "--splits", 2, "--by", "count")
    speechkit("split-manifest", *split, cwd=tmp_path)
    for number in (0, 1):
        options = ("-f", "rttm", "--output-dir", "lab")
        speechkit(
            "vad",
            f"splits/data_split_0{number}.jsonl",
            "-o",
            f"{number}.jsonl",
            *options,
            cwd=tmp_path,
        )
    assert seen(tmp_path / "lab").keys() == {f"{name}.rttm" for name in names}
    speechkit("vad", "data.jsonl", "-f", "rttm", "--output-dir", "all", cwd=tmp_path)
    assert seen(tmp_path / "lab").items() <= seen(tmp_path / "all").items()
    os.remove(tmp_path / "splits" / "data_splits.json")  # noqa: PTH107
    alone = ("-o", "2.jsonl", "-f", "rttm", "--output-dir", "lab2")
    done = speechkit("vad", "splits/data_split_00.jsonl", *alone, cwd=tmp_path, code=2)
    assert "no data_splits.json beside it" in done.err


def test_slices_that_lie_in_several_splits_are_exported_together(
    speechkit: Any, talks: Path, tmp_path: Path
) -> None:
    speechkit("split-manifest", "--input", talks / "data.jsonl", "--splits", 2, cwd=tmp_path)
    options = ("-o", "0.jsonl", "-f", "rttm", "--output-dir", "lab")
    done = speechkit("vad", "splits/data_split_00.jsonl", *options, cwd=tmp_path, code=2)
    assert "slices of one recording lie in several splits" in done.err
    assert not (tmp_path / "0.jsonl").exists()
    submit = ("slurm", "submit", "vad", "--", "-f", "rttm", "--output-dir", "lab")
    done = speechkit(*submit, cwd=tmp_path, code=2)
    assert "give it before the --" in done.err


def test_a_file_that_cannot_be_written_ends_nothing(
    speechkit: Any, examples: Path, tmp_path: Path
) -> None:
    """The others are written, and the same command writes it later."""
    for name in ("a", "b", "c"):
        shutil.copy(examples / "awb" / "train.flac", tmp_path / f"{name}.flac")
    command = ("vad", tmp_path, "-f", "rttm", "-f", "csv", "--output-dir", tmp_path / "out")
    (tmp_path / "out" / "b.rttm").mkdir(parents=True)
    (tmp_path / "out" / ".export.rttm.json").write_text("{}")
    done = speechkit(*command, "--restart", code=3)
    assert f"{tmp_path}/out/b.rttm: is not a regular file" in done.err
    assert f"files written to {tmp_path}/out: 5" in done.err
    (tmp_path / "out" / "b.rttm").rmdir()
    done = speechkit(*command)
    assert "nothing computed" in done.err
    assert seen(tmp_path / "out").keys() == {
        "vad.jsonl",
        *(f"{name}.{end}" for name in "abc" for end in ("rttm", "csv")),
    }


def test_wrong_uses(speechkit: Any, talks: Path, tmp_path: Path) -> None:
    result = tmp_path / "vad.jsonl"
    speechkit("vad", talks / "tue" / f"{LONG}.flac", "-o", result)
    for arguments, words in {
        (result, "-f", "srt"): 'line 1: has no "pred_text", which the format needs',
        (result, "-f", "units"): 'has no "units", which the format needs',
        (result, "-f", "docx"): "--format docx: there are audacity, csv, ctm, rttm",
        (result, "-f", "csv", "-f", "rttm"): "only one format fits on stdout",
        (result, "-f", "csv", "--one-file"): "need --output-dir",
        (result,): "Missing option '--format'",
        (talks, "-f", "csv"): "a result ends in .jsonl or .json",
        ("gone.jsonl", "-f", "csv"): "gone.jsonl: no such file",
    }.items():
        done = speechkit("export", *arguments, code=2)
        assert words in done.err
    silent = {"audio_filepath": "/x.wav", "pred_text": "hi", "segments": [{"start": 0, "end": 1}]}
    for line, form, words in (
        (silent, "txt", '"segments" have no "text"'),
        ({"audio_filepath": "/x.wav"}, "csv", 'has no "segments", which the format needs'),
        (None, "csv", "no utterance came in"),
    ):
        stdin = b"" if line is None else json.dumps(line).encode()
        assert words in speechkit("export", "-", "-f", form, stdin=stdin, code=2).err
    printed = speechkit("export", "-", "-f", "csv", stdin=result.read_bytes()).out
    assert printed.startswith(b"recording,start,end\n" + LONG.encode())


def test_names_and_texts_stay_characters(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    """On a terminal and in a spreadsheet."""
    name = "=1+\x1b]0;evil\x07\n\u202e\x9bspeechkit: all is well.flac"
    shutil.copy(examples / "awb" / "train.flac", tmp_path / name)
    line = {"audio_filepath": name}
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n")
    out = tmp_path / "out"
    done = speechkit("vad", tmp_path / "in.jsonl", "-f", "csv", "--output-dir", out)
    (out / ".export.csv.json").unlink()
    again = speechkit("vad", tmp_path / "in.jsonl", "-f", "csv", "--output-dir", out, code=2)
    assert "exists already" in again.err
    (tmp_path / "other.jsonl").write_text("")
    merge = ("merge-results", "--input-pattern", str(out / "vad.jsonl"), "-o", tmp_path / "m.jsonl")
    merged = speechkit(*merge, "--manifest", tmp_path / "other.jsonl", code=4)
    assert "all is well" in merged.err
    for said in (done.err, again.err, merged.err):
        assert not set(said) & set("\x1b\x07\x9b\u202e")
        assert not any(line.startswith("speechkit: all") for line in said.splitlines())
    assert b"\x9b".decode("latin-1").encode() not in (out / "vad.jsonl").read_bytes()
    assert json.loads((out / "vad.jsonl").read_text())["audio_filepath"].endswith(name)
    (table,) = (text for name, text in seen(out).items() if name.endswith(".csv"))
    assert table.decode().splitlines()[1].startswith("'=1+ ]0;evil")
