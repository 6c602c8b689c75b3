"""Job arrays: `speechkit slurm submit`, `status` and `rerun`; `task` is what their tasks run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.console import conclude, say
from speechkit.commands.options import DebugOption, Option, one_of
from speechkit.errors import UsageError
from speechkit.io.file_names import harmless

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
SbatchOption = Annotated[
    list[str] | None,
    Option(metavar="OPTION", help="For sbatch, as --sbatch=--gres=gpu:1 (repeatable)."),
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
    form: Annotated[
        list[str] | None,
        Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="Export the merged results as this format too (repeatable; see export).",
        ),
    ] = None,
    text_dir: Annotated[
        str | None,
        Option(metavar="DIR", help="Folder for the formats. Default: named as -o, without .jsonl."),
    ] = None,
    sbatch: SbatchOption = None,
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
    from speechkit.cluster import submit as cluster
    from speechkit.cluster.runs import ClusterRun, load
    from speechkit.formats import OF_WORDS
    from speechkit.reports.split import SplitReport
    from speechkit.splitting.split import SplitOptions, split_manifest

    one_of(stage, STAGES, "STAGE")
    given = _stated(context, stage, options or []).params
    export = _export(stage, output, form or [], text_dir)
    if (input is None) != (splits is None):
        raise UsageError("--input and --splits come together")
    if input and splits:
        split = split_manifest(SplitOptions(input, splits, splits_dir))
        conclude(SplitReport(split))
    if after and (earlier := load(after)):
        splits_dir = earlier.run.splits
    elif after and not Path(after).is_dir():
        raise UsageError(f"--after {after}: no such folder")
    own = tuple(options or ())
    if stage == "asr" and not (given["words"] or OF_WORDS.isdisjoint(form or ())):
        own += ("--words",)
    run = ClusterRun(
        stage,
        own,
        splits=os.path.abspath(splits_dir),  # noqa: PTH100
        output=os.path.abspath(output_dir),  # noqa: PTH100
        folder=os.getcwd(),  # noqa: PTH109
        merged=os.path.abspath(output) if output else None,  # noqa: PTH100
        export=tuple(export),
        after=os.path.abspath(after) if after else None,  # noqa: PTH100
        sbatch=tuple(sbatch or ()),
        at_once=at_once,
        reruns=reruns or 0,
        requeues=requeues,
    )
    if {*(given["format"] or ())} - {"jsonl"} and run.layout.index.audio.apart:
        raise UsageError(
            "--format: slices of one recording lie in several splits; give it before the --, so "
            "that the merged results are exported"
        )
    say(cluster.submit(run))


@app.command()
def status(
    output_dir: FolderArgument,
    splits_dir: SplitsDirOption = "splits",
    wait: Annotated[
        float,
        Option(
            min=0.0,
            metavar="SECONDS",
            help="Look again every so often, until nothing is queued or runs any more.",
        ),
    ] = 0.0,
    as_json: Annotated[bool, Option("--json", help="Everything, as JSON on stdout.")] = False,
    debug: DebugOption = False,
) -> None:
    """How far the splits are, what failed and why. Exits with 0 once all is done, else with 4.

    Example: speechkit slurm status output --wait 60
    """
    from speechkit.cluster.status import status as report

    found = report(output_dir, splits_dir)
    while wait and (found.live or found.merging):
        say(found.text())
        time.sleep(wait)
        found = report(output_dir, splits_dir)
    typer.echo(json.dumps(found.to_json(), indent=1) if as_json else harmless(found.text()))
    raise typer.Exit(0 if found.complete else 4)


@app.command()
def rerun(
    output_dir: FolderArgument,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Also the utterances that have an error.")
    ] = False,
    sbatch: SbatchOption = None,
    reruns: RerunsOption = None,
    debug: DebugOption = False,
) -> None:
    """Submit the incomplete splits once more, and the merge after them.

    Example: speechkit slurm rerun output
    """
    from speechkit.cluster.submit import rerun as again

    say(again(output_dir, reruns, sbatch=sbatch or (), retry_failed=retry_failed))


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
    from speechkit.cluster import layout
    from speechkit.cluster.task import TaskOptions, run_task, split_number

    one_of(stage, STAGES, "STAGE")
    given = options or []
    sized = _leaves_batch_size(_stated(context, stage, given), stage)
    own_task = split is None and "SLURM_ARRAY_JOB_ID" in os.environ
    wanted = TaskOptions(stage, split_number(split), given, sized, requeues, own_task)
    result = run_task(layout.find(splits_dir, input_dir, output_dir), wanted)
    if result.text:
        say(result.text)
    raise typer.Exit(result.exit_code)


def _export(stage: str, output: str | None, forms: list[str], folder: str | None) -> list[str]:
    """Options of `speechkit export`. Raises `UsageError`."""
    from speechkit.formats import ASR_FORMATS, S2S_FORMATS, VAD_FORMATS
    from speechkit.io.manifest import is_manifest, manifest_suffix

    available = {"vad": VAD_FORMATS, "asr": ASR_FORMATS, "s2s": S2S_FORMATS}[stage]
    for form in forms:
        one_of(form, available, "--format")
    if not forms and folder:
        raise UsageError("--text-dir: needs --format")
    if not forms:
        return []
    if not output or not is_manifest(output):
        raise UsageError("--format: is made of the merged results; name their .jsonl with -o")
    folder = folder or output.removesuffix(manifest_suffix(output))
    options = [part for form in forms for part in ("--format", form)]
    return [*options, "--output-dir", os.path.abspath(folder)]  # noqa: PTH100


def _stated(context: typer.Context, stage: str, options: list[str]) -> typer.Context:
    """The stage's options, read as the stage itself reads them.

    Raises what it raises for those that can't be meant, and `UsageError` for those that are not for
    a split: each has an output of its own, and a task that goes on must not begin anew.
    """
    command = context.find_root().command.commands[stage]  # type: ignore[attr-defined]
    with command.make_context(stage, ["-", *options], context.find_root()) as stated:
        given = stated.params
    for name in ("output", "summary", "restart"):
        if given[name]:
            raise UsageError(f"--{name}: is not for a split")
    if len(given["inputs"]) > 1:
        raise UsageError(f"{given['inputs'][1]}: the input is the split")
    return stated  # type: ignore[no-any-return]


def _leaves_batch_size(stated: typer.Context, stage: str) -> bool:
    """Whether the stage's engine takes a batch size for a GPU and its options state none."""
    from speechkit.engines import registry

    source = stated.get_parameter_source("batch_size")
    if source is None or source.name != "DEFAULT" or stated.params["device"] == "cpu":
        return False
    return registry.find(stage, stated.params["engine"]).takes("batch_size")
