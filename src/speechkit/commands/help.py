"""The help: commands and options in sections. Commands are imported only when they are needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from speechkit.commands.options import MESSAGES, SHARED

LAST = (SHARED, MESSAGES)  # sections of every command, after those of the single command


class Command(TyperCommand):
    """A command with options in the sections of their declaration.

    A variable for one command (SPEECHKIT_VAD_WORKERS) has priority over that for all commands
    (SPEECHKIT_WORKERS).
    """

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        for option in self.params:
            if option.envvar:
                of_command = f"SPEECHKIT_{name}_{option.name}".replace("-", "_").upper()
                option.envvar = [of_command, str(option.envvar)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                sections[_section(param)].append(record)
        for title in sorted(sections, key=lambda title: title in LAST and 1 + LAST.index(title)):
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
    """A line of the main help.

    ``target``: a module of `speechkit.commands` and, after a colon, the name of its function or of
    its Typer app with subcommands. ``subcommands``: of a function, which runs where the first word
    is none of their names.
    """

    name: str
    target: str
    summary: str
    subcommands: tuple[Entry, ...] = ()


class CommandTable(Mapping[str, Any]):
    """The commands by name, each imported when it is looked up. ``above``: the command whose
    subcommands they are."""

    def __init__(self, sections: Mapping[str, Sequence[Entry]], above: str = "") -> None:
        self._sections = sections
        self._above = above
        self._entries = {entry.name: entry for row in sections.values() for entry in row}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            entry = self._entries[name]
            module, _, attribute = entry.target.partition(":")
            target = getattr(import_module(f"speechkit.commands.{module}"), attribute)
            self._loaded[name] = _command(entry, target, self._above)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def sections(self) -> dict[str, list[tuple[str, str]]]:
        """Names and summaries of the commands, by section."""
        return {
            title: [(entry.name, entry.summary) for entry in entries]
            for title, entries in self._sections.items()
        }


class ParentCommand(Command):
    """A command that has subcommands, and runs itself where the first word is none of them."""

    commands: CommandTable

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        if args and args[0] in self.commands:
            group: Any = TyperGroup(name=self.name)
            group.commands = self.commands
            above = self.context_class(group, parent=parent, info_name=info_name)
            name, *rest = args
            return self.commands[name].make_context(name, rest, parent=above, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, rows in self.commands.sections().items():
            with formatter.section(title):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)


def _command(entry: Entry, target: Any, above: str) -> Any:
    full_name = f"{above}-{entry.name}" if above else entry.name
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_group(target)
    else:
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        alone.command(full_name, cls=ParentCommand if entry.subcommands else Command)(target)
        command = typer.main.get_command(alone)
    if entry.subcommands:
        command.commands = CommandTable({"Commands": entry.subcommands}, entry.name)
    command.name = entry.name
    return command


class Commands(TyperGroup):
    """The main command, over a `CommandTable`.

    Ends the process with the exit code that the command returns; None is 0.
    """

    table: CommandTable

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
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
            formatter.write_dl([row for option in options if (row := option.get_help_record(ctx))])
