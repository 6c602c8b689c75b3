"""Models for engines: `speechkit models list`, `get` and `verify`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from speechkit.commands.console import say, show
from speechkit.commands.options import DebugOption, Option
from speechkit.engines import registry

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

EngineOption = Annotated[
    str,
    Option(
        metavar="NAME",
        help="Engine of the models: faster-whisper, whisper, nemo, or transformers (s2s, embed).",
    ),
]
DEFAULT = registry.default("asr")


@app.callback()
def models() -> None:
    """List, fetch and verify models."""


@app.command("list")
def list_models(
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> int:
    """List named models with size and licence, and their folder or the command that fetches them.

    Any other model is named by its folder or its id on the Hugging Face hub.

    Example: speechkit models list
    """
    from speechkit.doctor.models import listing
    from speechkit.reports.models import ModelsReport

    return show(ModelsReport(listing()), as_json=as_json)


@app.command()
def get(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names from models list, or hub ids.")
    ],
    engine: EngineOption = DEFAULT,
    debug: DebugOption = False,
) -> None:
    """Fetch models into the cache, ahead of runs without a network, and print their folders.

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
        typer.Argument(
            metavar="[NAME...]",
            help="Names from models list, or hub ids. Default: the named models on this machine.",
        ),
    ] = None,
    engine: EngineOption = DEFAULT,
    debug: DebugOption = False,
) -> int:
    """Compare model files with their published hashes.

    Exits with 1 if a file is damaged.

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
