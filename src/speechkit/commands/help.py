"""The help: commands and options in sections. Commands are imported when they are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from speechkit.commands.options import MESSAGES, SHARED

LAST = (SHARED, MESSAGES)  # sections of every command, which come after its own


class Command(TyperCommand):
    """A command whose options stand in the sections that they were declared in.

    SPEECHKIT_VAD_WORKERS, which is for one command, comes before SPEECHKIT_WORKERS.
    """

    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(name, **more)
        for option in self.params:
            if option.envvar:
                own = f"SPEECHKIT_{name}_{option.name}".replace("-", "_").upper()
                option.envvar = [own, str(option.envvar)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                sections[_section(param)].append(record)
        for title in sorted(sections, key=lambda one: one in LAST and 1 + LAST.index(one)):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _section(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    return getattr(param, "rich_help_panel", None) or (
        MESSAGES if param.name == "help" else "Options"
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the main help. ``target``: a module of `speechkit.commands` and, after a colon, its
    function or its Typer app of subcommands."""

    name: str
    target: str
    summary: str


class CommandTable(Mapping[str, Any]):
    """The commands by name, each imported when it is taken out."""

    def __init__(self, sections: Mapping[str, Sequence[Entry]]) -> None:
        self._sections = sections
        self._entries = {entry.name: entry for row in sections.values() for entry in row}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module, _, attribute = self._entries[name].target.partition(":")
            self._loaded[name] = _command(
                name, getattr(import_module(f"speechkit.commands.{module}"), attribute)
            )
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def sections(self) -> dict[str, list[tuple[str, str]]]:
        """Names with their summaries, by section."""
        return {
            title: [(entry.name, entry.summary) for entry in entries]
            for title, entries in self._sections.items()
        }


def _command(name: str, target: Any) -> Any:
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_group(target)
    else:
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        alone.command(name, cls=Command)(target)
        command = typer.main.get_command(alone)
    command.name = name
    return command


class Commands(TyperGroup):
    """The main command, over a `CommandTable`. Ends the process with the exit code that a command
    returns; None is 0."""

    table: CommandTable

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.commands: Any = self.table

    def invoke(self, ctx: Any) -> Any:
        raise typer.Exit(super().invoke(ctx) or 0)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, rows in self.table.sections().items():
            with formatter.section(title):
                formatter.write_dl(rows)
        options: list[Any] = list(self.get_params(ctx))
        for option in options:
            option.show_envvar = False
        with formatter.section("Options"):
            formatter.write_dl([one for option in options if (one := option.get_help_record(ctx))])
