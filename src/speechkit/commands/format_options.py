"""The options of text formats beside the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from speechkit.commands.options import Option, in_section
from speechkit.formats import formats_of


def _format_option(formats: Iterable[str]) -> Any:
    return Option(
        "--format",
        "-f",
        section="Text formats",
        choices=["jsonl", *formats],
        help="Write this format as well (repeatable). It goes to --output-dir, or to stdout "
        "instead of the manifest if no output option is given.",
    )


FormatSection = in_section("Text formats")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatFlags:
    """Text files beside the manifest. `format_flags` narrows ``format`` to those of a stage."""

    format: Annotated[list[str] | None, _format_option(())] = None
    output_dir: Annotated[
        Path | None,
        FormatSection(
            metavar="DIR",
            help="Folder for the formats, with one file per recording in the tree of the input. "
            "Also for the manifest, unless -o is given.",
        ),
    ] = None
    one_file: Annotated[
        bool, FormatSection("--one-file", help="Write one file for all recordings.")
    ] = False


def format_flags(stage: str) -> type[FormatFlags]:
    """The `FormatFlags` of a stage, with the formats that its results can be rendered in."""
    annotation = Annotated[list[str] | None, _format_option(formats_of(stage))]
    return make_dataclass(
        "StageFormatFlags",
        [("format", annotation, None)],
        bases=(FormatFlags,),
        frozen=True,
        kw_only=True,
    )
