"""The effect of the options of messages, which take place as they are read."""

from __future__ import annotations

from dataclasses import replace

import typer

from speechkit.runtime import logs


def set_levels(context: typer.Context, text: str) -> str:
    try:
        levels = logs.parse_levels(text)
    except ValueError as e:
        raise typer.BadParameter(str(e)) from e
    if not context.params.get("debug"):
        logs.configure(replace(logs.settings(), levels=levels))
    return text


def set_format(form: str) -> str:
    if form not in logs.FORMATS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(logs.FORMATS)}")
    logs.configure(replace(logs.settings(), form=form))
    return form


def set_debug(on: bool) -> bool:
    if on:
        logs.configure(replace(logs.settings(), levels={"": "debug"}))
    return on
