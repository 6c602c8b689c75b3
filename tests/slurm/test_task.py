"""One split at a time without a cluster: what a batch script, `parallel` and `make -j` run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusterkit import BIN, QUICK, ROOT, SLOW, UTTERANCES, until

from runkit import records
from speechkit.cluster import attempts


def states(speechkit: Any, folder: Path, code: int = 4) -> list[dict[str, Any]]:
    done = speechkit("slurm", "status", "output", "--json", cwd=folder, code=code)
    found: list[dict[str, Any]] = json.loads(done.out)["splits"]
    return found


def test_each_split_once(speechkit: Any, folder: Path, unsplit: Callable[[str], bytes]) -> None:
    assert {split["state"] for split in states(speechkit, folder)} == {"not started"}
    for split in (2, 0, 1):
        speechkit("slurm", "task", "vad", "--split", split, cwd=folder)
    assert {split["state"] for split in states(speechkit, folder, code=0)} == {"done"}
    speechkit(
        *("merge-results", "--input-pattern", "output/*_split_*.jsonl", "-o", "all.jsonl"),
        cwd=folder,
    )
    assert (folder / "all.jsonl").read_bytes() == unsplit("vad")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "which split?"),
        (("--split", "three"), "which split?"),
        (("--split", 3), "split 3: "),
        (("--split", 0, "--", "-o", "mine.jsonl"), "--output: is not for a split"),
        (("--split", 0, "--", "--restart"), "--restart: is not for a split"),
        (("--split", 0, "--", "talks"), "talks: the input is the split"),
        (("--split", 0, "--", "--threshold", "x"), "threshold"),
        (("--split", 0, "--output-dir", "splits"), "would overwrite their input"),
        (("--split", 0, "--input-dir", "gone"), "the stage before has not finished this split"),
    ],
)
def test_wrong_arguments(
    speechkit: Any, folder: Path, arguments: tuple[object, ...], words: str
) -> None:
    done = speechkit("slurm", "task", "vad", *arguments, cwd=folder, code=2)
    assert words in done.err


def test_a_split_cut_short(speechkit: Any, folder: Path) -> None:
    split = folder / "splits" / "data_split_01.jsonl"
    os.truncate(split, split.stat().st_size - 5)
    done = speechkit("slurm", "task", "vad", "--split", 1, cwd=folder, code=2)
    assert "and not the" in done.err
    assert "split-manifest" in states(speechkit, folder)[1]["reason"]


def test_failed_utterances_are_counted_by_kind(speechkit: Any, folder: Path) -> None:
    lines = "".join(f'{{"audio_filepath": "/gone/{n}.wav"}}\n' for n in range(5))
    (folder / "bad.jsonl").write_text(lines)
    own = ("--splits-dir", "bad")
    speechkit(
        "split-manifest", "--input", "bad.jsonl", "--splits", 2, "--output-dir", "bad", cwd=folder
    )
    for split in (0, 1):
        speechkit("slurm", "task", "vad", *own, "--split", split, cwd=folder, code=3)
    said = speechkit("slurm", "status", "output", *own, cwd=folder).out.decode()
    assert "2 splits: 2 done\n  5 of 5 utterances" in said
    assert "5 x AudioNotFound" in said


def test_a_users_variables_change_nothing(
    speechkit: Any, manifest: Path, tmp_path: Path, unsplit: Callable[[str], bytes]
) -> None:
    """Only batch scripts take names without SPEECHKIT_ in front."""
    elsewhere = tmp_path / "elsewhere"
    foreign = {name: str(elsewhere) for name in ("OUTPUT_DIR", "INPUT_DIR", "SPLITS_DIR", "MERGED")}
    foreign |= {"SPLIT_OFFSET": "7", "REQUEUES": "many", "RERUNS": "many"}
    place = {"cwd": tmp_path, "env": foreign}
    speechkit("split-manifest", "--input", manifest, "--splits", 2, **place)
    speechkit("slurm", "task", "vad", "--split", 0, **place)
    indexed = {**place, "env": {**foreign, "SLURM_ARRAY_TASK_ID": "1"}}
    speechkit("slurm", "task", "vad", **indexed)
    status = speechkit("slurm", "status", "output", **place).out.decode()
    assert f"{tmp_path}/output: 2 splits: 2 done\n" in status
    speechkit(
        *("merge-results", "--input-pattern", "output/*_split_*.jsonl", "-o", "all.jsonl"), **place
    )
    assert (tmp_path / "all.jsonl").read_bytes() == unsplit("vad")
    assert {path.name for path in tmp_path.iterdir()} == {"splits", "output", "all.jsonl"}


def test_our_variables_name_the_folders(speechkit: Any, manifest: Path, tmp_path: Path) -> None:
    ours = {"SPEECHKIT_SPLITS_DIR": "parts", "SPEECHKIT_OUTPUT_DIR": "results"}
    place = {"cwd": tmp_path, "env": ours}
    speechkit("split-manifest", "--input", manifest, "--splits", 1, **place)
    speechkit("slurm", "task", "vad", "--split", 0, **place)
    pattern = ("--input-pattern", "results/*_split_*.jsonl")
    speechkit("merge-results", *pattern, "-o", "all.jsonl", **place)
    assert {path.name for path in tmp_path.iterdir()} == {"parts", "results", "all.jsonl"}


def test_a_failed_stage_gives_its_reason(speechkit: Any, folder: Path) -> None:
    """By a file of its own, though its messages go to no log."""
    options = ("--", "--engine", "pocketsphinx", "--model", "gone")
    done = speechkit("slurm", "task", "asr", "--split", 1, *options, cwd=folder, code=1)
    sentence = done.err.splitlines()[-1].removeprefix("speechkit: ")
    assert "gone" in sentence
    split = states(speechkit, folder)[1]
    assert (split["state"], split["reason"], split["log"]) == ("failed", sentence, "")
    (attempt,) = attempts.read(folder / "output" / "data_split_01.jsonl")
    assert attempt.end
    assert attempt.end.reason == sentence


@pytest.mark.parametrize("harm", ["SIGTERM", "SIGKILL"])
def test_a_stopped_split_goes_on(
    speechkit: Any, folder: Path, harm: str, engines: dict[str, str]
) -> None:
    """SIGTERM to the task drains the stage; SIGKILL to the stage leaves somebody to say so."""
    command = [BIN / "speechkit", "slurm", "task", "asr", "--split", "1", *SLOW, "--workers", "1"]
    part = folder / "output" / "data_split_01.jsonl.part"
    place = {"cwd": folder, "env": {**os.environ, **engines}}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **place) as going:
        until(lambda: part.exists() and part.read_bytes().count(b"\n") > 2)
        assert states(speechkit, folder)[1]["state"] == "running"
        if harm == "SIGTERM":
            going.terminate()
        else:
            psutil.Process(going.pid).children()[0].kill()
        said = going.communicate(timeout=60)[1]
    assert going.returncode == 75, said
    assert ("ended by SIGTERM" if harm == "SIGTERM" else "killed (signal 9)") in said
    assert "Traceback" not in said
    failed = states(speechkit, folder)[1]
    assert failed["state"] == "failed"
    assert 0 < failed["answered"] < UTTERANCES // 3
    done = speechkit("slurm", "task", "asr", "--split", 1, *SLOW, cwd=folder, env=engines)
    assert f"  {failed['answered']} of them were done by an earlier run" in done.err
    given, found = (
        [one["audio_filepath"] for one in records(folder / part / "data_split_01.jsonl")]
        for part in ("splits", "output")
    )
    assert found == given
    assert len(found) == UTTERANCES // 3


@pytest.mark.parametrize("runner", ["parallel", "make"])
def test_without_slurm(
    speechkit: Any, folder: Path, runner: str, unsplit: Callable[[str], bytes]
) -> None:
    commands = {
        "parallel": [
            *("parallel", "-j", "2", "--will-cite"),
            "speechkit vad {} -o output/{/} --workers 1",
            *(":::", *sorted(str(path) for path in (folder / "splits").glob("*_split_*"))),
        ],
        "make": ["make", "-j", "2", "-f", str(ROOT / "examples" / "splits.mk"), "STAGE=vad"],
    }
    if not shutil.which(runner):
        pytest.skip(f"no {runner}: scripts/system_packages.sh tests")
    path = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        commands[runner], cwd=folder, env=path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    speechkit(
        *("merge-results", "--input-pattern", "output/*_split_*.jsonl", "-o", "all.jsonl"),
        cwd=folder,
    )
    assert (folder / "all.jsonl").read_bytes() == unsplit("vad")
    assert speechkit("slurm", "status", "output", cwd=folder).code == 0


def test_the_scripts_say_what_they_lack(tmp_path: Path) -> None:
    for script in sorted((ROOT / "slurm").glob("*.slurm")):
        bare = {"PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            ["bash", script], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "activate its environment" in done.stderr


def test_the_stage_script_can_be_preempted() -> None:
    text = (ROOT / "slurm" / "stage.slurm").read_text()
    for option in ("--signal=B:USR1@90", "--requeue", "--open-mode=append"):
        assert re.search(rf"^#SBATCH {re.escape(option)}$", text, re.MULTILINE)
    assert 'exec speechkit slurm task "$stage" -- "$@"' in text


def test_signals_until_the_task_is_gone(folder: Path) -> None:
    """More than one SIGTERM comes to a task that is cancelled; what it was doing is on record."""
    part = folder / "output" / "data_split_01.jsonl.part"
    command = [BIN / "speechkit", "slurm", "task", "vad", "--split", "1", "--", "--workers", "1"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as going:
        until(part.exists)
        while going.poll() is None:
            going.terminate()
            time.sleep(0.005)
        said = going.communicate(timeout=60)[1]
    assert going.returncode == 75, said
    (only,) = attempts.read(folder / "output" / "data_split_01.jsonl")
    assert only.end
    assert only.end.code == 75


def test_a_signal_before_the_stage_is_up(folder: Path) -> None:
    """It is neither lost nor taken for a crash."""
    command = [sys.executable, "-m", "speechkit", "slurm", "task", "asr", "--split", "0", *QUICK]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as going:
        until(lambda: psutil.Process(going.pid).children())
        going.send_signal(signal.SIGUSR1)
        said = going.communicate(timeout=60)[1]
    assert going.returncode == 75, said
    assert "stopped by SIGUSR1" in said


def test_nothing_is_imported_from_the_folder_of_the_data(speechkit: Any, folder: Path) -> None:
    """A task, the stage that it starts and that one's workers: modules of Python's own names that
    lie beside the data, each of which would leave a file."""
    for name in ("queue", "typing", "json", "types", "logging", "typer", "numpy", "speechkit"):
        code = f"open({str(folder / 'ran')!r}, 'a').write('{name} ')\nraise ImportError\n"
        (folder / f"{name}.py").write_text(code)
    command = [BIN / "speechkit", "slurm", "task", "asr", "--split", "0", *QUICK]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (folder / "ran").exists()


def test_python_m_imports_nothing_from_there_but_speechkit(tmp_path: Path) -> None:
    """Which Python itself looks for in the current folder first."""
    for name in ("queue", "typing", "typer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    command = [sys.executable, "-m", "speechkit", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("speechkit "), done.stderr
