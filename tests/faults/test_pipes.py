"""Readers that leave, writers that send nothing or nonsense."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from faultkit import SPEECHKIT, Unbroken, one_sentence, run


def _shell(command: str) -> subprocess.CompletedProcess[str]:
    function = f'speechkit() {{ {" ".join(SPEECHKIT)} "$@"; }}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{function}; {command}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_reader_that_has_enough(ten: Unbroken, speech: Path) -> None:
    done = _shell(f"speechkit vad {speech} | head -1")
    assert done.stdout.encode() == ten.output.splitlines(keepends=True)[0]
    assert done.stderr == ""
    assert done.returncode not in (0, 3, 75)


def test_a_reader_that_takes_nothing(speech: Path) -> None:
    done = _shell(f"speechkit vad {speech} | true")
    assert (done.stdout, done.stderr) == ("", "")


def test_a_folder_that_is_gone(few: Path, tmp_path: Path) -> None:
    for command in (f"manifest {few} -o x.jsonl", "slurm status output"):
        done = _shell(f"mkdir {tmp_path}/x; cd {tmp_path}/x; rmdir $PWD; speechkit {command}")
        assert done.returncode == 1
        assert done.stderr.startswith("speechkit: the current folder was removed")
        assert done.stderr.count("\n") == 1


def test_a_stdin_that_cant_be_read(tmp_path: Path) -> None:
    for command in ("manifest", "score"):
        done = _shell(f"speechkit {command} - 0> {tmp_path}/written")
        assert done.returncode == 2
        assert done.stderr.startswith("speechkit: stdin: can't be read: ")


def test_nothing_on_stdin() -> None:
    for command in ("vad", "asr --engine pocketsphinx", "manifest"):
        done = _shell(f"speechkit {command} - < /dev/null")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("speechkit: stdin: ")
        assert done.stderr.count("\n") == 1


def test_a_malformed_line_is_named_before_any_work(few: Path, tmp_path: Path) -> None:
    good = [json.dumps({"audio_filepath": str(path)}) for path in sorted(few.glob("*/*.wav"))]
    for bad in ('{"audio_filepath": "a.wav"', "[1]", '{"audio_filepath": 3}', "\\xff", "nothing"):
        source = tmp_path / "in.jsonl"
        source.write_text("\n".join([*good[:17], "", bad, *good[17:]]) + "\n")
        out = tmp_path / "out.jsonl"
        for command in (["vad", source, "-o", out], ["vad", source]):
            result = run(tmp_path, *command)
            assert result.code == 2
            assert f"{source}, line 19: " in one_sentence(result)
            assert result.out == b""
        assert not out.exists()
        assert not out.with_name("out.jsonl.part").exists()
        piped = _shell(f"cat {source} | speechkit vad -")
        assert piped.returncode == 2
        assert piped.stderr.startswith("speechkit: stdin, line 19: ")
        assert piped.stdout == ""
