"""`speechkit slurm submit finetune` on a real SLURM: one job of two processes on one node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clusterkit import Work, until

from runkit import write_manifest
from speechkit.training.finetune import FinetuneOptions, finetune

SENTENCES = ("one two", "three", "four five six")


@pytest.mark.slow
def test_a_training_is_preempted_and_ends_as_if_it_had_not_been(
    work: Work, manifest: Path, untrained: dict[str, Path]
) -> None:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()[:12]]
    spoken = [{**line, "text": SENTENCES[i % 3]} for i, line in enumerate(lines)]
    for line in spoken:
        line["audio_filepath"] = str(manifest.parent / line["audio_filepath"])
    write_manifest(work.folder / "spoken.jsonl", spoken)
    options = ["spoken.jsonl", "--model", untrained["whisper"], "--steps", 12, "--seed", 3]
    options += ["--examples-per-step", 4, "--save-every", 100, "--context", 2]
    options += ["--workers", 1, "--language", "en"]
    submit = ["finetune", "--output-dir", work.output, "--sbatch=--ntasks-per-node=2", "--"]

    refused = work.speechkit("slurm", "submit", *submit, *options, "--clip", 0, code=2)
    assert "--clip 0: above 0" in refused.stderr
    (job,) = work.submit(*submit, *options)
    metrics = work.output / "metrics.jsonl"
    until(lambda: metrics.exists() and '"step": 2,' in metrics.read_text(), 120, "no step")
    work.cluster.run("scancel", "--batch", "--signal=USR1", job)  # SLURM's warning of a limit
    until(lambda: _attempts(work)[-1].get("end"), 60, "it never ended")
    again = work.speechkit("slurm", "submit", "--sbatch=--cpus-per-task=1", *submit, *options)
    assert "submitted already" in again.stderr
    assert set(work.cluster.wait(job).values()) == {"COMPLETED"}, _log(work)
    ends = [one["end"] for one in _attempts(work) if "end" in one]
    assert [end["code"] for end in ends] == [75, 75, 0], _log(work)
    assert 2 <= ends[1]["done"] < 12

    status = json.loads(work.speechkit("slurm", "status", work.output, "--json").stdout)
    assert (status["state"], status["step"], status["steps"]) == ("done", 12, 12)
    unbroken = FinetuneOptions(
        train=(str(work.folder / "spoken.jsonl"),),
        model=str(untrained["whisper"]),
        output=work.folder / "unbroken",
        steps=12,
        seed=3,
        examples_per_step=4,
        save_every=100,
        context=2.0,
        workers=1,
        language="en",
    )
    finetune(unbroken)
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    weights = "last/model.safetensors"
    one, other = load_file(work.output / weights), load_file(unbroken.output / weights)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-5, msg=name)


def _attempts(work: Work) -> list[dict[str, Any]]:
    log = work.output / "slurm" / "training.attempts"
    return [json.loads(line) for line in log.read_text().splitlines() if line]


def _log(work: Work) -> str:
    return "".join(path.read_text() for path in (work.output / "slurm" / "logs").glob("*.log"))
