"""Completion of values that depend on other options, and of subcommands."""

from __future__ import annotations

import typer


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """The names of known models for the engine on the command line."""
    from speechkit.engines import model_catalogue

    engine = context.params.get("engine")
    return [
        known.name
        for known in model_catalogue.KNOWN
        if known.engine == engine and known.name.startswith(incomplete)
    ]


def subcommands(context: typer.Context, incomplete: str) -> list[str]:
    """The names that may stand in the place of a command's first input."""
    if context.params.get("inputs"):
        return []
    return [
        name for name in getattr(context.command, "commands", ()) if name.startswith(incomplete)
    ]
