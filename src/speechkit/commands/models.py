"""Models for engines: `speechkit models list`, `get` and `verify`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from speechkit.commands.console import say, show
from speechkit.commands.options import DebugOption, Option

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

EngineOption = Annotated[
    str,
    Option(metavar="NAME", help="For faster-whisper, whisper, nemo, or transformers (of s2s)."),
]
DEFAULT = "faster-whisper"


@app.callback()
def models() -> None:
    """What models there are, where they are, and whether their files are whole."""


@app.command("list")
def list_models(
    as_json: Annotated[bool, Option("--json", help="Everything, as JSON.")] = False,
    debug: DebugOption = False,
) -> int:
    """List the models that have names, where each is or what brings it, its size and licence.

    Any other one can be named by its folder or its place on the Hugging Face hub.

    Example: speechkit models list
    """
    from speechkit.doctor.models import listing
    from speechkit.reports.models import ModelsReport

    return show(ModelsReport(listing()), as_json=as_json)


@app.command()
def get(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names of the list, or hub ids.")
    ],
    engine: EngineOption = DEFAULT,
    debug: DebugOption = False,
) -> None:
    """Fetch models into the cache, ahead of runs that have no network; print their folders.

    Example: speechkit models get base small
    """
    if sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0")  # the hub's client draws them
    from speechkit.doctor.models import fetching_engine
    from speechkit.engines import model_catalogue

    info = fetching_engine(engine)
    for name in names:
        say(f"{name} for {engine} …")
        typer.echo(model_catalogue.locate(info, name))


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Default: those of the list that are here."),
    ] = None,
    engine: EngineOption = DEFAULT,
    debug: DebugOption = False,
) -> int:
    """Compare the files of models with the hashes they were published with. Exits with 1 where one
    is damaged.

    Example: speechkit models verify base
    """
    from speechkit.doctor.models import fetching_engine, models_here, verified
    from speechkit.reports.models import VerificationReport

    info = fetching_engine(engine)
    exit_code = 0
    for pair in [(info, name) for name in names] if names else models_here():
        report = VerificationReport(verified(*pair))
        exit_code = max(exit_code, show(report))
        for damage in report.verification.damages:
            say(damage)
    return exit_code
