"""Job arrays: `speechkit slurm submit`, `status` and `rerun`; `task` is what their tasks run."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from speechkit.commands.options import DebugOption, Option, one_of
from speechkit.errors import UsageError

STAGES = ("vad", "asr", "s2s")
REQUEUES = 5

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

StageArgument = Annotated[str, typer.Argument(metavar="STAGE", help="vad, asr or s2s.")]
OptionsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- OPTION...]", help="The stage's own options.", show_default=False),
]
FolderArgument = Annotated[
    str, typer.Argument(metavar="OUTPUT_DIR", help="Where the splits' results are.")
]
SplitsDirOption = Annotated[
    str, Option(metavar="DIR", help="Where split-manifest puts the splits.", envvar="SPLITS_DIR")
]
OutputDirOption = Annotated[
    str, Option(metavar="DIR", help="Where the splits' results go.", envvar="OUTPUT_DIR")
]
RequeuesOption = Annotated[
    int,
    Option(
        min=0,
        help="A task is no longer queued again once so many tries in a row have finished nothing.",
        envvar="REQUEUES",
    ),
]
RerunsOption = Annotated[
    int | None,
    Option(
        min=0,
        help="How often the merge has what is missing run again by itself.",
        envvar="RERUNS",
    ),
]


@app.callback()
def slurm() -> None:
    """Run a stage as SLURM job arrays over the splits of a manifest, to a complete result."""


@app.command()
def submit(
    context: typer.Context,
    stage: StageArgument,
    options: OptionsArgument = None,
    input: Annotated[
        str | None, Option("--input", metavar="FILE", help="A manifest, to be split first.")
    ] = None,
    splits: Annotated[int | None, Option(min=1, help="How many splits of it.")] = None,
    splits_dir: SplitsDirOption = "splits",
    after: Annotated[
        str | None,
        Option(
            metavar="DIR", help="The output folder of an earlier stage's run: take its results."
        ),
    ] = None,
    output_dir: OutputDirOption = "output",
    output: Annotated[
        str | None, Option("--output", "-o", metavar="FILE", help="Merge the results into this.")
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        Option(metavar="OPTION", help="For sbatch, as --sbatch=--gres=gpu:1 (repeatable)."),
    ] = None,
    at_once: Annotated[
        int, Option(min=0, help="Tasks of an array that run at the same time; 0: no limit.")
    ] = 0,
    requeues: RequeuesOption = REQUEUES,
    reruns: RerunsOption = 2,
    debug: DebugOption = False,
) -> None:
    """Split a manifest, submit job arrays over the splits, and a merge after them.

    Example: speechkit slurm submit asr --input data.jsonl --splits 30 -o final.jsonl
    --sbatch=--gres=gpu:1 -- --engine nemo
    """
    from speechkit.pipelines.cluster import submit as cluster
    from speechkit.pipelines.cluster.runs import ClusterRun, load
    from speechkit.pipelines.splitting.split import SplitOptions, split_manifest

    one_of(stage, STAGES, "STAGE")
    _leaves_batch_size(context, stage, options or [])  # and says so where they can't be meant
    if (input is None) != (splits is None):
        raise UsageError("--input and --splits come together")
    if input and splits:
        split = split_manifest(SplitOptions(input, splits, splits_dir))
        typer.echo(split.text(), err=True)
    if after and (earlier := load(after)):
        splits_dir = earlier.run.splits
    run = ClusterRun(
        stage,
        tuple(options or ()),
        splits=os.path.abspath(splits_dir),  # noqa: PTH100
        output=os.path.abspath(output_dir),  # noqa: PTH100
        folder=os.getcwd(),  # noqa: PTH109
        merged=os.path.abspath(output) if output else None,  # noqa: PTH100
        after=os.path.abspath(after) if after else None,  # noqa: PTH100
        sbatch=tuple(sbatch or ()),
        at_once=at_once,
        reruns=reruns or 0,
        requeues=requeues,
    )
    typer.echo(cluster.submit(run), err=True)


@app.command()
def status(
    output_dir: FolderArgument,
    splits_dir: SplitsDirOption = "splits",
    as_json: Annotated[bool, Option("--json", help="Everything, as JSON on stdout.")] = False,
    debug: DebugOption = False,
) -> None:
    """How far the splits are, what failed and why. Exits with 0 once all is done, else with 4.

    Example: speechkit slurm status output
    """
    from speechkit.pipelines.cluster.status import status as report

    found = report(output_dir, splits_dir)
    typer.echo(json.dumps(found.to_json(), indent=1) if as_json else found.text())
    raise typer.Exit(0 if found.complete else 4)


@app.command()
def rerun(
    output_dir: FolderArgument,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Also the utterances that have an error.")
    ] = False,
    reruns: RerunsOption = None,
    debug: DebugOption = False,
) -> None:
    """Submit the incomplete splits once more, and the merge after them.

    Example: speechkit slurm rerun output
    """
    from speechkit.pipelines.cluster.submit import rerun as again

    typer.echo(again(output_dir, reruns, retry_failed=retry_failed), err=True)


@app.command()
def task(
    context: typer.Context,
    stage: StageArgument,
    options: OptionsArgument = None,
    split: Annotated[
        str | None,
        Option(metavar="N", help="Default: the array's index, after SPLIT_OFFSET others."),
    ] = None,
    splits_dir: SplitsDirOption = "splits",
    input_dir: Annotated[
        str | None,
        Option(
            metavar="DIR",
            help="Take an earlier stage's results, with the splits' names. Default: the splits.",
            envvar="INPUT_DIR",
        ),
    ] = None,
    output_dir: OutputDirOption = "output",
    requeues: RequeuesOption = REQUEUES,
    debug: DebugOption = False,
) -> None:
    """Run a stage over one split; what a batch script calls, or `parallel` on one machine.

    Example: speechkit slurm task asr --split 3 -- --engine nemo
    """
    from speechkit.pipelines.cluster import layout
    from speechkit.pipelines.cluster.task import TaskOptions, run_task, split_number

    one_of(stage, STAGES, "STAGE")
    given = options or []
    sized = _leaves_batch_size(context, stage, given)
    wanted = TaskOptions(stage, split_number(split), given, sized, requeues)
    result = run_task(layout.find(splits_dir, input_dir, output_dir), wanted)
    if result.text:
        typer.echo(result.text, err=True)
    raise typer.Exit(result.exit_code)


def _leaves_batch_size(context: typer.Context, stage: str, options: list[str]) -> bool:
    """Whether the stage's engine takes a batch size and its options state none.

    Raises what the stage itself raises for options that it doesn't have.
    """
    from speechkit.engines import registry

    command = context.find_root().command.commands[stage]  # type: ignore[attr-defined]
    with command.make_context(stage, ["-", *options], context.find_root()) as stated:
        given = stated.params
        if given["output"]:
            raise UsageError("--output: is the split's own here")
        source = stated.get_parameter_source("batch_size")
        if source is None or source.name != "DEFAULT" or given["device"] == "cpu":
            return False
        return "batch_size" in registry.find(stage, given["engine"]).options
