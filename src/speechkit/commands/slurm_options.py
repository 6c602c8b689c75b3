"""The options of `speechkit slurm`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import typer

from speechkit.commands.options import Option, one_of
from speechkit.errors import UsageError
from speechkit.stages import STAGES

SPLITTABLE = tuple(stage.name for stage in STAGES if stage.splittable)
REQUEUES = 5  # fruitless attempts in a row

StageArgument = Annotated[str, typer.Argument(metavar="STAGE", help=f"{', '.join(SPLITTABLE)}.")]
StageOptionsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- OPTION...]", help="The stage's own options.", show_default=False),
]
FolderArgument = Annotated[
    str, typer.Argument(metavar="OUTPUT_DIR", help="The folder of the splits' results.")
]
SplitsDirOption = Annotated[
    str,
    Option(metavar="DIR", help="The folder of the splits.", envvar="SPEECHKIT_SPLITS_DIR"),
]
InputDirOption = Annotated[
    str | None,
    Option(
        metavar="DIR",
        help="The results of an earlier stage, named as the splits. Default: the splits.",
        envvar="SPEECHKIT_INPUT_DIR",
    ),
]
OutputDirOption = Annotated[
    str,
    Option(
        metavar="DIR", help="The folder for the splits' results.", envvar="SPEECHKIT_OUTPUT_DIR"
    ),
]
SbatchOption = Annotated[
    list[str] | None,
    Option(metavar="OPTION", help="For sbatch, as --sbatch=--gres=gpu:1 (repeatable)."),
]
RequeuesOption = Annotated[
    int,
    Option(
        min=0,
        help="Stop queueing a task again after so many attempts in a row that finished nothing.",
        envvar="SPEECHKIT_REQUEUES",
    ),
]
RerunsOption = Annotated[
    int | None,
    Option(
        min=0,
        help="How often the merge submits missing splits again by itself.",
        envvar="SPEECHKIT_RERUNS",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFlags:
    """What a stage runs over."""

    input: Annotated[
        str | None, Option("--input", metavar="FILE", help="A manifest, to be split first.")
    ] = None
    splits: Annotated[int | None, Option(min=1, help="The number of splits of it.")] = None
    splits_dir: SplitsDirOption = "splits"
    after: Annotated[
        str | None,
        Option(
            metavar="DIR",
            help="The output folder of an earlier stage's run, whose results are the input.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeFlags:
    """What becomes of the splits' results."""

    output: Annotated[
        str | None, Option("--output", "-o", metavar="FILE", help="Merge the results into this.")
    ] = None
    format: Annotated[
        list[str] | None,
        Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="Export the merged results as this format too (repeatable; see export).",
        ),
    ] = None
    text_dir: Annotated[
        str | None,
        Option(metavar="DIR", help="Folder for the formats. Default: named as -o, without .jsonl."),
    ] = None

    def export(self, stage: str) -> tuple[str, ...]:
        """Options of `speechkit export`, none without a format. Raises `UsageError`."""
        from speechkit.formats import formats_of
        from speechkit.io.manifest import is_manifest, manifest_suffix

        forms = [one_of(form, formats_of(stage), "--format") for form in self.format or []]
        if not forms and self.text_dir:
            raise UsageError("--text-dir: needs --format")
        if not forms:
            return ()
        if not self.output or not is_manifest(self.output):
            raise UsageError("--format: is made of the merged results; name their .jsonl with -o")
        folder = self.text_dir or self.output.removesuffix(manifest_suffix(self.output))
        options = [part for form in forms for part in ("--format", form)]
        return (*options, "--output-dir", os.path.abspath(folder))  # noqa: PTH100

    @property
    def of_words(self) -> bool:
        """Whether one of the formats of ASR needs words with times."""
        from speechkit.formats import need_words

        return need_words(self.format or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFlags:
    """How SLURM runs the jobs; changes no result."""

    sbatch: SbatchOption = None
    at_once: Annotated[
        int, Option(min=0, help="Tasks of an array that run at the same time; 0: no limit.")
    ] = 0
    requeues: RequeuesOption = REQUEUES
    reruns: RerunsOption = 2
