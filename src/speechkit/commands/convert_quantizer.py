from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.console import say
from speechkit.commands.options import ConfigOption, DebugOption, Option


def convert_quantizer(
    kmeans: Annotated[
        Path,
        typer.Argument(metavar="KMEANS", help="A k-means of scikit-learn (.bin, .joblib, .pkl)."),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.npz", help="File for its centroids.")],
    trust: Annotated[
        bool,
        Option("--trust", help="Load the file, although that runs the code in it."),
    ] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Extract the centroids of a scikit-learn k-means, once, for s2s.

    The file is a pickle, and loading it runs the code in it: convert only files from people you
    trust. The resulting .npz holds only numbers.

    Example: speechkit convert-quantizer km.bin km.npz --trust
    """
    from speechkit.stages.s2s.quantizer_conversion import convert

    units, width = convert(kmeans, output, trust=trust)
    say(f"{output}: {units} units of {width} numbers")
