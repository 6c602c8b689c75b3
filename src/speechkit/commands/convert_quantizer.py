from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.console import say
from speechkit.commands.options import ConfigOption, DebugOption, Option


def convert_quantizer(
    kmeans: Annotated[
        Path,
        typer.Argument(metavar="KMEANS", help="A k-means of scikit-learn: .bin, .joblib, .pkl."),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.npz", help="Where its centroids go.")],
    trust: Annotated[
        bool,
        Option("--trust", help="Load it, though that runs whatever code is in it."),
    ] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Take the centroids out of a k-means of scikit-learn, once, for s2s to use.

    Such a file is a pickle, which joblib loads by running what is in it: convert only files of
    people you trust. The .npz that comes out holds numbers and nothing else.

    Example: speechkit convert-quantizer km.bin km.npz --trust
    """
    from speechkit.stages.s2s.quantizer_conversion import convert

    units, width = convert(kmeans, output, trust=trust)
    say(f"{output}: {units} units of {width} numbers")
