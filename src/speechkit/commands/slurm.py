"""Job arrays: `speechkit slurm submit`, `status` and `rerun`. Tasks of an array run `task`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechkit.commands import slurm_training
from speechkit.commands.console import conclude, say, show
from speechkit.commands.options import DebugOption, Option, require_choice, takes
from speechkit.commands.slurm_options import (
    FINETUNE,
    REQUEUES,
    SPLITTABLE,
    FolderArgument,
    InputDirOption,
    InputFlags,
    JobFlags,
    MergeFlags,
    OutputDirOption,
    RequeuesOption,
    RerunsOption,
    SbatchOption,
    SplitsDirOption,
    StageArgument,
    StageOptionsArgument,
)
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from speechkit.cluster.run_record import RunPlan

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def slurm() -> None:
    """Run a stage as SLURM job arrays over the splits of a manifest, to a complete result."""


@app.command()
@takes(source=InputFlags, merge=MergeFlags, jobs=JobFlags)
def submit(
    context: typer.Context,
    stage: StageArgument,
    options: StageOptionsArgument = None,
    output_dir: OutputDirOption = "output",
    debug: DebugOption = False,
    *,
    source: InputFlags,
    merge: MergeFlags,
    jobs: JobFlags,
) -> None:
    """Split a manifest, submit job arrays over the splits, and a merge after them.

    A training is one job instead, with a process for each GPU.

    Example: speechkit slurm submit asr --input data.jsonl --splits 30 -o final.jsonl
    --sbatch=--gres=gpu:1 -- --engine nemo
    """
    from speechkit.cluster import submit as cluster
    from speechkit.reports.cluster import submit_text

    require_choice(stage, (*SPLITTABLE, FINETUNE), "STAGE")
    if stage == FINETUNE:
        return slurm_training.submit(context, options or [], output_dir, source, merge, jobs)
    given = _stated(context, stage, options or []).params
    export = merge.export(stage)
    splits_dir = _splits_dir(source)
    stage_options = tuple(options or ())
    if stage == "asr" and merge.of_words and not given["words"]:
        stage_options += ("--words",)
    plan = _plan(stage, stage_options, splits_dir, output_dir, export, source, merge, jobs)
    if {*(given["format"] or ())} - {"jsonl"} and plan.layout.index.audio.apart:
        raise UsageError(
            "--format: slices of one recording lie in several splits; give it before the --, so "
            "that the merged results are exported"
        )
    return say(submit_text(cluster.submit(plan)))


@app.command()
def status(
    output_dir: FolderArgument,
    splits_dir: SplitsDirOption = "splits",
    wait: Annotated[
        float,
        Option(
            min=0.0,
            metavar="SECONDS",
            show_default=False,
            help="Repeat every so many seconds, until nothing is queued or running. Default: once.",
        ),
    ] = 0.0,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> int:
    """Show the state of every split or of a training, with the reason of each failure.

    Exits with 0 once all is done, otherwise with 4.

    Example: speechkit slurm status output --wait 60
    """
    from speechkit.cluster import status as cluster
    from speechkit.reports.cluster import StatusReport

    if slurm_training.is_training(output_dir):
        return slurm_training.show_status(output_dir, wait, as_json=as_json)
    current = cluster.status(output_dir, splits_dir)
    while wait and (current.live or current.merging):
        say(StatusReport(current).view())
        time.sleep(wait)
        current = cluster.status(output_dir, splits_dir)
    return show(StatusReport(current), as_json=as_json)


@app.command()
def rerun(
    output_dir: FolderArgument,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Run utterances that failed as well.")
    ] = False,
    sbatch: SbatchOption = None,
    reruns: RerunsOption = None,
    debug: DebugOption = False,
) -> None:
    """Submit the incomplete splits again and the merge after them, or a training that has ended.

    Example: speechkit slurm rerun output
    """
    from speechkit.cluster import submit as cluster
    from speechkit.reports.cluster import rerun_text

    if slurm_training.is_training(output_dir):
        return slurm_training.rerun(output_dir, sbatch or ())
    return say(
        rerun_text(
            cluster.rerun(output_dir, reruns, sbatch=sbatch or (), retry_failed=retry_failed)
        )
    )


@app.command()
def task(
    context: typer.Context,
    stage: StageArgument,
    options: StageOptionsArgument = None,
    split: Annotated[
        str | None,
        Option(
            metavar="N",
            help="Number of the split. Default: the task's index in the job array, plus "
            "SPEECHKIT_SPLIT_OFFSET.",
        ),
    ] = None,
    splits_dir: SplitsDirOption = "splits",
    input_dir: InputDirOption = None,
    output_dir: OutputDirOption = "output",
    requeues: RequeuesOption = REQUEUES,
    debug: DebugOption = False,
) -> int:
    """Run a stage over one split, inside a task of a job array, or a training inside its job.

    Batch scripts call it, as can `parallel` on one machine.

    Example: speechkit slurm task asr --split 3 -- --engine nemo
    """
    from speechkit.cluster import supervisor
    from speechkit.cluster.layout import find_layout
    from speechkit.reports.cluster import task_end_text, task_text

    require_choice(stage, (*SPLITTABLE, FINETUNE), "STAGE")
    if stage == FINETUNE:
        return slurm_training.run(context, options or [], output_dir, requeues)
    _stated(context, stage, options or [])  # refuses what is no option of the stage
    task_options = supervisor.TaskOptions(
        stage=stage,
        split=supervisor.split_number(split),
        options=options or [],
        requeues=requeues,
        requeueable=split is None and "SLURM_ARRAY_JOB_ID" in os.environ,
    )
    begun = supervisor.begin(find_layout(splits_dir, input_dir, output_dir), task_options)
    say(task_text(begun))
    end = supervisor.supervise_split(begun)
    if end.notice:
        say(task_end_text(end))
    return end.exit_code


def _splits_dir(source: InputFlags) -> str:
    """Split the input, if one is given, and return the folder of the splits.

    Raises `UsageError`.
    """
    from speechkit.cluster.run_record import read_record
    from speechkit.reports.split import SplitReport
    from speechkit.splitting.split import SplitOptions, split_manifest

    if (source.input is None) != (source.splits is None):
        raise UsageError("--input and --splits come together")
    if source.input and source.splits:
        split = split_manifest(SplitOptions(source.input, source.splits, source.splits_dir))
        conclude(SplitReport(split))
    if source.after is None:
        return source.splits_dir
    earlier = read_record(source.after)
    if earlier is None and not Path(source.after).is_dir():
        raise UsageError(f"--after {source.after}: no such folder")
    return earlier.plan.splits if earlier else source.splits_dir


def _plan(
    stage: str,
    options: tuple[str, ...],
    splits_dir: str,
    output_dir: str,
    export: tuple[str, ...],
    source: InputFlags,
    merge: MergeFlags,
    jobs: JobFlags,
) -> RunPlan:
    from speechkit.cluster.run_record import RunPlan

    return RunPlan(
        stage=stage,
        options=options,
        splits=os.path.abspath(splits_dir),  # noqa: PTH100
        output=os.path.abspath(output_dir),  # noqa: PTH100
        folder=os.getcwd(),  # noqa: PTH109
        merged=os.path.abspath(merge.output) if merge.output else None,  # noqa: PTH100
        export=export,
        after=os.path.abspath(source.after) if source.after else None,  # noqa: PTH100
        sbatch=tuple(jobs.sbatch or ()),
        at_once=jobs.at_once,
        reruns=jobs.reruns or 0,
        requeues=jobs.requeues,
    )


def _stated(context: typer.Context, stage: str, options: list[str]) -> typer.Context:
    """Return the options of the stage, parsed by its command.

    Raises the errors of the parser, and `UsageError` for options that a split can't have: each
    split has its own output, and a task that resumes must not start over.
    """
    command = context.find_root().command.commands[stage]  # type: ignore[attr-defined]
    with command.make_context(stage, ["-", *options], context.find_root()) as stated:
        given = stated.params
    for name in ("output", "summary", "restart", "metrics", "prometheus"):
        if given[name]:
            raise UsageError(f"--{name}: is not for a split")
    if len(given["inputs"]) > 1:
        raise UsageError(f"{given['inputs'][1]}: the input is the split")
    return stated  # type: ignore[no-any-return]
