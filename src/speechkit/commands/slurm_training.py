"""`speechkit slurm` for a training, which is one job without splits."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import fields

import typer

from speechkit.commands.console import say, show
from speechkit.commands.slurm_options import FINETUNE, InputFlags, JobFlags, MergeFlags
from speechkit.errors import UsageError


def submit(
    context: typer.Context,
    options: Sequence[str],
    output_dir: str,
    source: InputFlags,
    merge: MergeFlags,
    jobs: JobFlags,
) -> None:
    """Submit a training. Raises `UsageError` for options of splits."""
    from speechkit.cluster import training_job
    from speechkit.cluster.training_status import TrainingPlan
    from speechkit.reports.training_job import submitted_text

    for flags, unset in ((source, InputFlags()), (merge, MergeFlags())):
        for field in fields(flags):
            if getattr(flags, field.name) != getattr(unset, field.name):
                option = field.name.replace("_", "-")
                raise UsageError(f"--{option}: is of splits; a training takes its inputs after --")
    _require_valid(context, options)
    plan = TrainingPlan(
        options=tuple(options),
        output=os.path.abspath(output_dir),  # noqa: PTH100
        folder=os.getcwd(),  # noqa: PTH109
        sbatch=tuple(jobs.sbatch or ()),
        requeues=jobs.requeues,
    )
    say(submitted_text(training_job.submit(plan), plan.output))


def run(context: typer.Context, options: Sequence[str], output_dir: str, requeues: int) -> int:
    """Train, inside a job."""
    from speechkit.cluster import training_job

    _require_valid(context, options)
    output = os.path.abspath(output_dir)  # noqa: PTH100
    code, notice = training_job.run(output, options, requeues)
    if notice:
        say(f"training: {notice}")
    return code


def is_training(output_dir: str) -> bool:
    """Whether the folder is that of a training. Raises `UsageError`."""
    from speechkit.cluster.training_status import read_training

    return read_training(output_dir) is not None


def show_status(output_dir: str, wait: float, *, as_json: bool) -> int:
    """``wait``: seconds after which to look again while it is queued or running, 0 for once."""
    from speechkit.cluster.training_status import read_training, status
    from speechkit.reports.training_job import TrainingStatusReport

    record = read_training(output_dir)
    assert record
    current = status(record)
    while wait and current.is_live:
        say(TrainingStatusReport(current).view())
        time.sleep(wait)
        current = status(record)
    return show(TrainingStatusReport(current), as_json=as_json)


def rerun(output_dir: str, sbatch: Sequence[str]) -> None:
    from speechkit.cluster import training_job
    from speechkit.cluster.training_status import read_training
    from speechkit.reports.training_job import submitted_text

    record = read_training(output_dir)
    assert record
    say(submitted_text(training_job.rerun(record, sbatch), record.plan.output))


def _require_valid(context: typer.Context, options: Sequence[str]) -> None:
    """Raises the errors of the parser, and `UsageError` for what a job can't have: it resumes."""
    command = context.find_root().command.commands[FINETUNE]  # type: ignore[attr-defined]
    with command.make_context(FINETUNE, [*options], context.find_root()) as stated:
        given = stated.params
    for name in ("output_dir", "restart", "metrics"):
        if given[name]:
            place = "; give it before the --" if name == "output_dir" else ""
            raise UsageError(f"--{name.replace('_', '-')}: is not for a job{place}")
