"""Write docs/cli.md, the reference of all commands, from the command line itself.

``--check`` compares instead, and exits with 1 where the page is out of date.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from speechkit.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
INTRODUCTION = """\
<!-- Written by scripts/cli_reference.py: edit the help texts, then run `make docs`. -->

# Command reference

Every option of `speechkit COMMAND` can also be set by an environment variable or in a configuration
file; see [configuration](config.md). Exit codes are listed under [running](running.md#exit-codes).
"""
PLACEHOLDERS = {"int": "N", "float": "NUMBER", "path": "PATH"}  # by the beginning of a type's name


def page() -> str:
    root = typer.main.get_command(app)
    parts = [INTRODUCTION]
    for names, command in _commands(root, ("speechkit",)):
        parts += _section(names, command)
    return "\n".join(parts)


def _commands(command: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands below ``command`` with their names; a group comes before its commands."""
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield (*names, name), child
            yield from _commands(child, (*names, name))


def _section(names: tuple[str, ...], command: Any) -> Iterator[str]:
    yield f"{'#' * len(names)} {' '.join(names[1:])}\n"
    parameters = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    options = [one for one in parameters if one.param_type_name == "option"]
    kind = "COMMAND" if isinstance(command, TyperGroup) else "[OPTIONS]"
    usage = [*names, kind, *(_metavar(argument) for argument in arguments)]
    yield f"```text\n{' '.join(usage)}\n```\n"
    yield from _prose(command.help or "")
    if arguments:
        yield "**Arguments**\n"
        yield from (f"- `{_metavar(one)}`: {_words(one.help or '')}" for one in arguments)
        yield ""
    for panel, members in groupby(sorted(options, key=_panel_order(options)), key=_panel):
        yield f"**{_words(panel)}**\n"
        yield from map(_option, members)
        yield ""


def _prose(text: str) -> Iterator[str]:
    """The paragraphs of a docstring, its examples as code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        example = re.fullmatch(r"Example: (.*)", paragraph, re.DOTALL)
        if example:
            yield f"```text\n{' '.join(example[1].split())}\n```\n"
        elif paragraph:
            yield f"{_words(' '.join(paragraph.split()))}\n"


def _panel(option: Any) -> str:
    return getattr(option, "rich_help_panel", None) or "Options"


def _panel_order(options: list[Any]) -> Any:
    """Panels in the order in which each begins."""
    panels = list(dict.fromkeys(map(_panel, options)))
    return lambda option: panels.index(_panel(option))


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return "|".join(map(str, choices))
    kind = parameter.type.name
    return next((shown for name, shown in PLACEHOLDERS.items() if kind.startswith(name)), "TEXT")


def _option(option: Any) -> str:
    names = ", ".join(sorted((*option.opts, *option.secondary_opts), key=len))
    value = "" if option.is_flag else f" {_metavar(option)}"
    return f"- `{names}{value}`: {' '.join([_words(option.help or ''), *_notes(option)])}"


def _notes(option: Any) -> Iterator[str]:
    low = getattr(option.type, "min", None)
    if low is not None:
        yield f"At least {low:g}."
    unset = option.default is None or option.default is False or callable(option.default)
    if option.show_default and not unset:
        shown = f"{option.default:g}" if isinstance(option.default, float) else option.default
        yield f"Default: `{shown}`."
    yield from (f"Variable: `{name}`." for name in _shared_variables(option))
    if option.required:
        yield "Required."


def _shared_variables(option: Any) -> list[str]:
    """The variables that aren't derived from the names of command and option."""
    variables = option.envvar or []
    return [variables] if isinstance(variables, str) else [str(name) for name in variables[1:]]


def _words(text: str) -> str:
    """Help text as Markdown: options and file names are code, and nothing else is markup."""
    escaped = re.sub(r"([*<\[\]|])", r"\\\1", text)
    return re.sub(r"(?<![\w=-])(--[a-z][\w=:-]*\w)", r"`\1`", escaped)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = page()
    if not check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit("docs/cli.md is out of date: run make docs")


if __name__ == "__main__":
    main()
