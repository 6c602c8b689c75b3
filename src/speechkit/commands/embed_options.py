"""What the commands share that work on the vectors of `speechkit embed`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.options import OutputOption, in_section
from speechkit.records import Record

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder with the vectors of speechkit embed.")
]
VectorsOption = Annotated[
    str,
    in_section("Vectors")(
        metavar="NAME", help="Which vectors: embeddings, or the name of an adapter."
    ),
]
LinesOption = Annotated[
    str | None,
    OutputOption("--output", "-o", metavar="FILE|-", help="Write the findings as JSON Lines."),
]


def write_lines(output: str, records: Iterable[Record]) -> None:
    """To a file, under its name when it is whole, or to stdout. Raise `OutputFailed`."""
    from speechkit.io import atomic, manifest

    with atomic.lines_to(output) as file:
        for record in records:
            file.write(manifest.encoded(record) + b"\n")
    sys.stdout.flush()
