"""Splits through a real SLURM: submitted, harmed, repaired, and nothing lost."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusterkit import QUICK, ROOT, SLOW, UTTERANCES, Cluster, Work, until

from speechkit.cluster import attempts

SCRIPTS = ROOT / "slurm"
LATER = "--sbatch=--begin=now+2"  # time to harm what was submitted


def test_the_classic_use(work: Work, unsplit: Callable[[str], bytes]) -> None:
    """split-manifest, sbatch by hand, merge-results: byte for byte the unsplit run."""
    parts = ("--splits-dir", "parts")
    work.speechkit(
        "split-manifest", "--input", work.manifest, "--splits", 2, "--output-dir", "parts"
    )
    job = work.cluster.sbatch(
        *("--array=0-1", "--cpus-per-task=1", "--output=%a.log", SCRIPTS / "stage.slurm", "vad"),
        cwd=work.folder,
        SPLITS_DIR="parts",
    )
    assert set(work.cluster.wait(job).values()) == {"COMPLETED"}
    pattern = ("--input-pattern", "output/*_split_*.jsonl")
    work.speechkit("merge-results", *pattern, "--output", "final.jsonl", *parts)
    assert (work.folder / "final.jsonl").read_bytes() == unsplit("vad")
    said = work.speechkit("slurm", "status", "output", *parts).stdout
    assert f"2 splits: 2 done\n  {UTTERANCES} of {UTTERANCES} utterances" in said


def test_what_fails_is_named_and_repaired(work: Work, unsplit: Callable[[str], bytes]) -> None:
    """Killed outright, preempted, over its time limit, its split gone: all of it at once."""
    work.speechkit("split-manifest", "--input", work.manifest, "--splits", 6)
    array, merge = work.submit(
        *("asr", "-o", "final.jsonl", "--reruns", 0, "--requeues", 0, LATER, *SLOW)
    )
    (work.folder / "splits" / "data_split_05.jsonl").unlink()
    work.cluster.ask("scontrol", "update", f"JobId={array}_3", "TimeLimit=1")
    work.cluster.stage_of(array, 3).send_signal(signal.SIGSTOP)
    until(lambda: work.part(1).exists(), what="split 1 never began")
    work.cluster.kill(array, 1)
    until(lambda: work.part(2).exists(), what="split 2 never began")
    work.cluster.supervisor_of(array, 2).send_signal(signal.SIGUSR1)
    states = work.cluster.wait(array, merge)
    assert states[f"{array}_3"] == "TIMEOUT"

    report = work.status()
    reasons = {
        split["number"]: split["reason"] for split in report["splits"] if split["state"] == "failed"
    }
    assert [split["state"] for split in report["splits"] if not split["reason"]] == ["done"] * 2
    assert list(reasons) == [1, 2, 3, 5]
    assert "killed" in reasons[1]
    assert "USR1" in reasons[2]
    assert "time limit" in reasons[3]
    assert "data_split_05.jsonl" in reasons[5]
    assert states[str(merge)] == "FAILED"
    log = work.log("merge")
    assert "rerun --array=1-3,5" in log
    assert not (work.folder / "final.jsonl").exists()
    said = work.speechkit("slurm", "status", work.output, code=4).stdout
    assert "incomplete: --array=1-3,5" in said

    jobs = work.rerun()
    assert len(jobs) == 2
    assert set(work.cluster.wait(*jobs).values()) == {"COMPLETED"}
    assert (work.folder / "final.jsonl").read_bytes() == unsplit("asr")
    assert work.status()["complete"]


@pytest.mark.parametrize("harm", ["preempted", "killed"])
def test_a_requeued_task_goes_on(work: Work, harm: str, unsplit: Callable[[str], bytes]) -> None:
    """By itself, and no utterance is computed twice."""
    array, merge = work.submit(
        *("asr", "--input", work.manifest, "--splits", 3, "-o", "all.jsonl", *SLOW)
    )
    # The last task's number is that of the array, which must not all be queued again.
    stage = work.cluster.stage_of(array, 2)
    until(lambda: work.answered(2) >= 2, what="nothing was computed")
    if harm == "preempted":
        work.cluster.preempt(array, 2)
    else:
        stage.kill()
    until(lambda: "queued again" in work.log(), what="it wasn't queued again")
    before = work.answered(2)
    assert 2 <= before < UTTERANCES // 3
    assert set(work.cluster.wait(array, merge).values()) == {"COMPLETED"}
    assert f"  {before} of them were done by an earlier run" in work.log()
    assert [len(attempts.read(work.result(split))) for split in range(3)] == [1, 1, 2]
    assert (work.folder / "all.jsonl").read_bytes() == unsplit("asr")


def test_what_gets_nowhere_is_not_queued_for_ever(work: Work) -> None:
    """A second stop in a row with nothing done in between is the last."""
    work.speechkit("split-manifest", "--input", work.manifest, "--splits", 1)
    (array,) = work.submit("asr", "--requeues", 2, *SLOW)
    for tries in (1, 2):
        work.cluster.stage_of(array, 0).kill()  # before it has done anything
        until(lambda n=tries: work.log().count("split 0: killed") == n, 30)
    assert work.cluster.wait(array) == {f"{array}_0": "FAILED"}
    assert "not queued again: 2 in a row finished nothing" in work.log()
    assert work.states() == ["failed"]


@pytest.mark.parametrize("splits", [1, 2])
def test_what_is_missing_is_run_again_by_the_merge(
    work: Work, splits: int, unsplit: Callable[[str], bytes]
) -> None:
    """Some of it or all of it; of a manifest that is named otherwise."""
    shutil.copy(work.manifest, work.folder / "data.json")
    array, merge = work.submit(
        *("vad", "--input", "data.json", "--splits", splits, "-o", "final.jsonl", LATER)
    )
    (work.folder / "splits" / "data_split_00.json").unlink()
    work.cluster.wait(array, merge)
    until(lambda: len(list((work.output / "slurm" / "logs").glob("merge-*.log"))) == 2)
    until(lambda: work.status()["complete"], 60, every=0.5)
    assert (work.folder / "final.jsonl").read_bytes() == unsplit("vad")


def test_the_pipeline(work: Work, speechkit: Any) -> None:
    said = work.cluster.ask(
        SCRIPTS / "pipeline.sh",
        *(work.manifest, 2, "the results", *QUICK[1:], "--words"),
        cwd=work.folder,
        SBATCH_OPTIONS="--cpus-per-task=1",
    )
    jobs = [int(word) for word in said.split("\n")[0].replace(",", "").split() if word.isdecimal()]
    assert set(work.cluster.wait(*jobs).values()) == {"COMPLETED"}
    results = work.folder / "the results"
    speechkit("vad", work.manifest, "-o", "vad.jsonl", cwd=work.folder)
    speechkit("asr", "vad.jsonl", "-o", "asr.jsonl", *QUICK[1:], "--words", cwd=work.folder)
    assert (results / "final.jsonl").read_bytes() == (work.folder / "asr.jsonl").read_bytes()


def test_the_example_of_the_docs(cluster: Cluster, examples: Path, tmp_path: Path) -> None:
    """From nothing to a score, as it stands, but for the patience and the number of splits."""
    page = (ROOT / "docs" / "cluster.md").read_text()
    (block,) = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "talks").mkdir()
    for path in (examples / "slt").glob("coffee.*"):
        shutil.copy(path, tmp_path / "talks")
    block = block.replace("--wait 60", "--wait 1").replace("--splits 8", "--splits 2")
    said = cluster.ask("bash", "-euo", "pipefail", "-c", block, cwd=tmp_path)
    assert "2 splits: 2 done" in said
    assert "WER" in said
