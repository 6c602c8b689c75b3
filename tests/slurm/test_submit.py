"""`speechkit slurm submit` on a real SLURM: the jobs that it submits, and those that it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusterkit import QUICK, UTTERANCES, Work, until

from speechkit.cluster.run_record import read_record


def test_submit_merges_by_itself(work: Work, speechkit: Any) -> None:
    """One command from anywhere; what is submitted once is not submitted twice."""
    command = ["asr", "--input", work.manifest, "--splits", 2, "-o", "final.jsonl"]
    command += ["--format", "txt", *QUICK]
    array, merge = work.submit(*command)
    assert work.submit(*command) == []
    states = work.cluster.wait(array, merge)
    assert set(states.values()) == {"COMPLETED"}
    assert len(states) == 3
    whole = speechkit("asr", work.manifest, *QUICK[1:]).out
    assert (work.folder / "final.jsonl").read_bytes() == whole
    heard = map(json.loads, whole.splitlines())
    texts = {f"{Path(one['audio_filepath']).stem}.txt": one["pred_text"] for one in heard}
    found = (work.folder / "final").rglob("*.txt")
    assert {path.name: " ".join(path.read_text().split()) for path in found} == texts
    assert work.status()["complete"]
    work.result(1).touch()  # as after a retry, whose merge is still to come
    assert not work.status()["complete"]
    (work.folder / "final.jsonl").touch()
    assert "nothing to run again" in work.speechkit("slurm", "rerun", work.output).stderr


def test_a_users_variables_change_nothing(work: Work, unsplit: Callable[[str], bytes]) -> None:
    """Neither what is submitted nor where its jobs write."""
    elsewhere = str(work.folder / "elsewhere")
    foreign = dict.fromkeys(("OUTPUT_DIR", "INPUT_DIR", "SPLITS_DIR", "MERGED"), elsewhere)
    foreign |= dict.fromkeys(("SPLIT_OFFSET", "REQUEUES", "RERUNS"), "7")
    command = ("vad", "--input", work.manifest, "--splits", 2, "-o", "final.jsonl")
    one_cpu = "--sbatch=--cpus-per-task=1"
    said = work.speechkit("slurm", "submit", one_cpu, *command, **foreign).stderr
    states = work.cluster.wait(*work.jobs(said))
    assert set(states.values()) == {"COMPLETED"}, work.log("vad")
    assert (work.folder / "final.jsonl").read_bytes() == unsplit("vad")
    assert {path.name for path in work.folder.iterdir()} == {"splits", "output", "final.jsonl"}


def test_no_job_is_forgotten_where_submit_dies(
    work: Work, unsplit: Callable[[str], bytes], tmp_path: Path
) -> None:
    """Killed when it calls sbatch for the second time, which is for the merge."""
    programs = tmp_path / "programs"
    programs.mkdir()
    deadly = programs / "sbatch"
    real = shutil.which("sbatch", path=work.cluster.environment["PATH"])
    deadly.write_text(
        f"#!/bin/sh\n[ -e {programs}/once ] && kill -9 $PPID\n"
        f': >{programs}/once\nexec {real} "$@"\n'
    )
    deadly.chmod(0o755)
    path = f"{programs}:{work.cluster.environment['PATH']}"
    command = ("vad", "--input", work.manifest, "--splits", 2, "-o", "final.jsonl")
    options = ("--sbatch=--cpus-per-task=1", "--sbatch=--hold")
    work.speechkit("slurm", "submit", *options, *command, code=-9, PATH=path)
    record = read_record(str(work.output))
    assert record
    (array,) = record.arrays
    assert set(work.cluster.states(array.job)) == {f"{array.job}_0", f"{array.job}_1"}
    assert work.submit(*command) == []
    work.cluster.ask("scontrol", "release", str(array.job))
    work.cluster.wait(array.job)
    merge = work.rerun()
    assert len(merge) == 1
    work.cluster.ask("scontrol", "release", str(merge[0]))
    work.cluster.wait(*merge)
    assert (work.folder / "final.jsonl").read_bytes() == unsplit("vad")


def test_more_splits_than_an_array_can_have(work: Work, tmp_path: Path) -> None:
    """The limit is 1001; the second array's tasks have the splits from 1001 on."""
    many = tmp_path / "data.jsonl"
    line = work.manifest.read_text().splitlines()[0].rstrip("}")
    many.write_text("".join(f'{line}, "id": "{n}"}}\n' for n in range(1200)))
    first, second = work.submit("vad", "--input", many, "--splits", 1200, "--sbatch=--hold")
    assert len(work.cluster.states(first)) == 1001
    assert len(work.cluster.states(second)) == 199
    for task in (f"{first}_0", f"{first}_1000", f"{second}_0", f"{second}_198"):
        work.cluster.ask("scontrol", "release", task)
    chosen = [0, 1000, 1001, 1199]
    until(lambda: work.states().count("done") == len(chosen), every=1)
    states = work.states()
    assert [n for n, state in enumerate(states) if state == "done"] == chosen
    assert states.count("queued") == 1196
    work.cluster.ask("scancel", str(first), str(second))
    work.cluster.wait(first, second)
    jobs = work.speechkit("slurm", "rerun", work.output).stderr
    assert "--array=1-999\n" in jobs
    assert "--array=1-197, from split 1001 on\n" in jobs
    work.cluster.ask("scancel", *work.jobs(jobs))


def test_a_stage_after_another(work: Work, speechkit: Any) -> None:
    """`--after`: on the other's results, and its missing splits come first in a rerun."""
    output = ("--output-dir", "vad")
    (vad,) = work.submit("vad", "--input", work.manifest, "--splits", 2, *output)
    asr, merge = work.submit("asr", "--after", "vad", "-o", "final.jsonl", *QUICK)
    work.cluster.wait(vad, asr, merge)
    speechkit("vad", work.manifest, "-o", "vad.jsonl", cwd=work.folder)
    speechkit("asr", "vad.jsonl", "-o", "asr.jsonl", *QUICK[1:], cwd=work.folder)
    final = work.folder / "final.jsonl"
    assert final.read_bytes() == (work.folder / "asr.jsonl").read_bytes()
    final.unlink()
    for name in ("data_split_01.jsonl", ".data_split_01.jsonl.run.json"):
        (work.folder / "vad" / name).unlink()
        (work.output / name).unlink()
    jobs = work.rerun()
    assert len(jobs) == 3
    work.cluster.wait(*jobs)
    assert final.read_bytes() == (work.folder / "asr.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("asr", "--input", "{data}", "--splits", 2, "--", "--engine", "nope"), "no asr engine"),
        (("asr", "--input", "{data}", "--splits", 2, "--", "--nope"), "No such option"),
        (("asr", "--splits-dir", "s", "--", "-o", "mine.jsonl"), "--output: is not for a split"),
        (("asr", "--input", "{data}"), "--input and --splits come together"),
        (("asr", "--splits-dir", "nowhere"), "no index of splits"),
        (("asr", "--after", "nowhere"), "--after nowhere: no such folder"),
        (("score", "--input", "{data}", "--splits", 2), "there are vad, asr, s2s"),
        (("asr", "--input", "gone.jsonl", "--splits", 2), "gone.jsonl: can't be read"),
        (
            ("asr", "--input", "{data}", "--splits", 2, "--sbatch=--partition=x"),
            "invalid partition",
        ),
    ],
)
def test_what_would_fail_is_not_submitted(
    work: Work, arguments: tuple[object, ...], words: str
) -> None:
    filled = [work.manifest if one == "{data}" else one for one in arguments]
    code = 1 if "partition" in words else 2
    done = work.speechkit("slurm", "submit", *filled, code=code)
    assert words in done.stderr
    assert not work.output.exists() or code == 1


def test_the_halves_of_s2s(work: Work, tmp_path: Path) -> None:
    """Units by one array, speech by the next, in one tree: that of the unsplit run."""
    (part := tmp_path / "part").touch()
    engine = ("--engine", "tones")
    units = (*engine, "--model", part, "--layer", 6, "--quantizer", part, "--units-only")
    vocoder = ("--vocoder", part, "--vocoder-config", part)
    speech = (*engine, "--from-units", *vocoder, "--output-dir")
    splits = ("--input", work.manifest, "--splits", 2)
    first = work.submit("s2s", *splits, "--output-dir", "units", "--", *units)
    after = ("s2s", "--after", "units", "-o", "final.jsonl")
    second = work.submit(*after, "--", *speech, "spoken")
    states = work.cluster.wait(*first, *second)
    assert set(states.values()) == {"COMPLETED"}, work.log("s2s")
    work.speechkit("s2s", work.manifest, "-o", "units.jsonl", *units)
    work.speechkit("s2s", "units.jsonl", "-o", "whole.jsonl", *speech, "whole")
    made = {path.relative_to(work.folder / "spoken"): path.read_bytes() for path in spoken(work)}
    assert len(made) == UTTERANCES
    assert all((work.folder / "whole" / name).read_bytes() == made[name] for name in made)


def spoken(work: Work) -> list[Path]:
    return sorted((work.folder / "spoken").rglob("*.wav"))


def test_another_run_in_the_same_folder(work: Work) -> None:
    (job,) = work.submit("vad", "--input", work.manifest, "--splits", 2, "--sbatch=--hold")
    done = work.speechkit("slurm", "submit", "asr", *QUICK, code=2)
    assert "has the results of another run" in done.stderr
    work.cluster.ask("scancel", str(job))
