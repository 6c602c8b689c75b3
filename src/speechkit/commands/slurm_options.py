"""The options of `speechkit slurm`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import typer

from speechkit.commands.options import Option, require_choice
from speechkit.errors import UsageError
from speechkit.stages import STAGES

SPLITTABLE = tuple(stage.name for stage in STAGES if stage.splittable)
FINETUNE = "finetune"  # one job, without splits
REQUEUES = 5  # fruitless attempts in a row

StageArgument = Annotated[
    str,
    typer.Argument(
        metavar="STAGE", help=f"Stage: {', '.join(SPLITTABLE)}, or {FINETUNE} for a training."
    ),
]
StageOptionsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- OPTION...]",
        help="Options of the stage; those of a training with its inputs.",
        show_default=False,
    ),
]
FolderArgument = Annotated[
    str,
    typer.Argument(metavar="OUTPUT_DIR", help="Folder of the splits' results, or the training."),
]
SplitsDirOption = Annotated[
    str,
    Option(metavar="DIR", help="Folder of the splits.", envvar="SPEECHKIT_SPLITS_DIR"),
]
InputDirOption = Annotated[
    str | None,
    Option(
        metavar="DIR",
        help="Folder with the results of an earlier stage, named like the splits. Default: the "
        "splits.",
        envvar="SPEECHKIT_INPUT_DIR",
    ),
]
OutputDirOption = Annotated[
    str,
    Option(
        metavar="DIR",
        help="Folder of the splits' results, or of the training.",
        envvar="SPEECHKIT_OUTPUT_DIR",
    ),
]
SbatchOption = Annotated[
    list[str] | None,
    Option(
        metavar="OPTION",
        help="Option for sbatch, such as --sbatch=--gres=gpu:1 (repeatable).",
    ),
]
RequeuesOption = Annotated[
    int,
    Option(
        min=0,
        metavar="N",
        help="Attempts in a row without a finished utterance, or step of a training, after which "
        "a task is no longer queued again.",
        envvar="SPEECHKIT_REQUEUES",
    ),
]
RerunsOption = Annotated[
    int | None,
    Option(
        min=0,
        metavar="N",
        help="Times the merge resubmits missing splits.",
        envvar="SPEECHKIT_RERUNS",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFlags:
    """The input of a stage."""

    input: Annotated[str | None, Option("--input", metavar="FILE", help="Manifest to split.")] = (
        None
    )
    splits: Annotated[int | None, Option(min=1, metavar="N", help="Number of splits.")] = None
    splits_dir: SplitsDirOption = "splits"
    after: Annotated[
        str | None,
        Option(
            metavar="DIR",
            help="Use the results of another run: the folder of its --output-dir.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeFlags:
    """The merge and the export of the splits' results."""

    output: Annotated[
        str | None, Option("--output", "-o", metavar="FILE", help="Merged output.")
    ] = None
    format: Annotated[
        list[str] | None,
        Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="Export the merged output in this format (repeatable; see export).",
        ),
    ] = None
    text_dir: Annotated[
        str | None,
        Option(
            metavar="DIR",
            help="Folder for the formats. Default: the name of -o without .jsonl.",
        ),
    ] = None

    def export(self, stage: str) -> tuple[str, ...]:
        """Return options of `speechkit export`, none without a format. Raises `UsageError`."""
        from speechkit.formats import formats_of
        from speechkit.io.manifest import is_manifest, manifest_suffix

        forms = [require_choice(form, formats_of(stage), "--format") for form in self.format or []]
        if not forms and self.text_dir:
            raise UsageError("--text-dir: needs --format")
        if not forms:
            return ()
        if not self.output or not is_manifest(self.output):
            raise UsageError("--format: needs the merged output; name its .jsonl with -o")
        folder = self.text_dir or self.output.removesuffix(manifest_suffix(self.output))
        options = [part for form in forms for part in ("--format", form)]
        return (*options, "--output-dir", os.path.abspath(folder))  # noqa: PTH100

    @property
    def of_words(self) -> bool:
        """Whether a format of ASR needs words with times."""
        from speechkit.formats import need_words

        return need_words(self.format or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFlags:
    """Options for the jobs in SLURM. They change no result."""

    sbatch: SbatchOption = None
    at_once: Annotated[
        int,
        Option(
            min=0, metavar="N", help="Tasks of an array that run at the same time. 0: no limit."
        ),
    ] = 0
    requeues: RequeuesOption = REQUEUES
    reruns: RerunsOption = 2
