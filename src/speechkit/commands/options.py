"""The options that mean the same in every command, and how options are declared."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Protocol, get_type_hints

import typer

from speechkit.errors import UsageError

SHARED = "Running"
MESSAGES = "Settings and messages"


def Option(*names: str, choices: Iterable[str] = (), section: str = "", **more: Any) -> Any:  # noqa: N802
    """An option of a command. ``choices``: its values, in the help and for completion; ``section``:
    of the help.

    The help states once how options come from variables, instead of at each option.
    """
    given = [*choices]
    if given:
        more = {"metavar": "|".join(given), "autocompletion": _completion(given), **more}
    if section:
        more["rich_help_panel"] = section  # Typer's name for it; `Command` prints it without rich
    return typer.Option(*names, show_envvar=False, **more)


def in_section(title: str) -> Any:
    """`Option` in a section of the help."""
    return functools.partial(Option, section=title)


def _completion(choices: list[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


AudioOption = in_section("Input audio")
EngineOption = in_section("Engine and model")
OutputOption = in_section("Output")
RunOption = in_section(SHARED)
MessageOption = in_section(MESSAGES)
LEVELS = ("debug", "info", "warning", "error")


def _set_level(level: str) -> str:
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise typer.BadParameter(f"{level!r} is none of {', '.join(LEVELS)}")
    logging.getLogger("speechkit").setLevel(number)
    return level


def _set_debug(on: bool) -> bool:
    if on:
        _set_level("debug")
    return on


def _load_config(context: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        from speechkit.commands.config import defaults

        context.default_map = defaults(path, context)
    return path


InputsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Audio files, folders, manifests (.jsonl, .json, .gz) or - (a manifest on stdin).",
        show_default=False,
    ),
]
ChannelOption = Annotated[
    int | None,
    AudioOption(min=1, metavar="N", help="Take this channel instead of the mix of all channels."),
]
TrackOption = Annotated[
    str | None,
    AudioOption(
        metavar="N|LANG",
        help="Take this audio track of a film, by number or language (eng), instead of the one "
        "marked as default.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    MessageOption(
        metavar="FILE",
        help="Options from a YAML file; the command line and SPEECHKIT_* come first.",
        callback=_load_config,
        is_eager=True,
        envvar="SPEECHKIT_CONFIG",
    ),
]
DebugOption = Annotated[
    bool,
    MessageOption(
        "--debug",
        help="Show tracebacks and debug messages.",
        callback=_set_debug,
        is_eager=True,
        envvar="SPEECHKIT_DEBUG",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFlags:
    """The part of a file that is read."""

    channel: ChannelOption = None
    track: TrackOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """How a stage is run; every field is an option of every stage."""

    output: Annotated[
        str | None,
        OutputOption(
            "--output", "-o", metavar="FILE|-", help="The output manifest. Default: stdout."
        ),
    ] = None
    summary: Annotated[
        Path | None, OutputOption(metavar="FILE", help="Write the closing summary as JSON.")
    ] = None
    workers: Annotated[
        int,
        RunOption(
            min=0,
            metavar="N",
            show_default=False,
            help="Worker processes. Default: 0, as many as the CPUs granted.",
            envvar="SPEECHKIT_WORKERS",
        ),
    ] = 0
    limit: Annotated[
        int | None, RunOption(min=1, metavar="N", help="Take only the first N utterances.")
    ] = None
    retry_failed: Annotated[
        bool,
        RunOption("--retry-failed", help="Run the utterances of OUTPUT that have an error again."),
    ] = False
    restart: Annotated[
        bool,
        RunOption("--restart", help="Start anew, whatever is in OUTPUT or OUTPUT.part."),
    ] = False
    time_limit: Annotated[
        float,
        RunOption(
            min=0.0,
            metavar="FACTOR",
            help="Give up an utterance after this many seconds of work for each second of its "
            "audio, and after three times as many at least; 0: never.",
            envvar="SPEECHKIT_TIME_LIMIT",
        ),
    ] = 20.0
    config: ConfigOption = None
    log_level: Annotated[
        str,
        MessageOption(
            choices=LEVELS,
            help="The least severe messages shown.",
            callback=_set_level,
            envvar="SPEECHKIT_LOG_LEVEL",
        ),
    ] = "warning"
    debug: DebugOption = False


def format_option(formats: Iterable[str]) -> Any:
    """``--format`` of a stage whose results can be rendered in these formats."""
    return Option(
        "--format",
        "-f",
        section="Text formats",
        choices=["jsonl", *formats],
        help="Also write this format (repeatable): to --output-dir or, without any output option, "
        "to stdout instead of the manifest.",
    )


FormatSection = in_section("Text formats")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatFlags:
    """Text files beside the manifest. A stage narrows ``format`` to its own formats."""

    format: Annotated[list[str] | None, format_option(())] = None
    output_dir: Annotated[
        Path | None,
        FormatSection(
            metavar="DIR",
            help="Folder for the formats: a file for each recording, in the input's tree. The "
            "manifest goes there too unless -o names another place.",
        ),
    ] = None
    one_file: Annotated[
        bool, FormatSection("--one-file", help="One file for all recordings in --output-dir.")
    ] = False


class Group(Protocol):
    """Options that reach a command as one value."""

    def parameters(self, reserved: frozenset[str]) -> list[inspect.Parameter]:
        """Keyword parameters, none of them among the ``reserved`` names of other options."""
        ...

    def value(self, values: Mapping[str, Any]) -> Any:
        """Made of the values of its parameters, by name."""
        ...


class _DataclassGroup:
    """The fields of a dataclass, each ``Annotated`` with its option. Its value: an instance."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self.names = frozenset(one.name for one in fields(kind))

    def parameters(self, reserved: frozenset[str]) -> list[inspect.Parameter]:
        annotations = get_type_hints(self._kind, include_extras=True)
        return [
            parameter(one.name, annotations[one.name], one.default) for one in fields(self._kind)
        ]

    def value(self, values: Mapping[str, Any]) -> Any:
        return self._kind(**values)


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)


def takes(**groups: type | Group) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command options in groups: ``@takes(run=RunFlags)`` fills ``run`` with a RunFlags."""
    members: dict[str, Group] = {
        name: _DataclassGroup(one) if isinstance(one, type) else one for name, one in groups.items()
    }

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        # Not get_type_hints, which hides an Annotated in an Optional on Python 3.10.
        signature = inspect.signature(command, eval_str=True).parameters
        kept = [
            parameter(name, one.annotation, one.default)
            for name, one in signature.items()
            if name not in groups
        ]
        parameters = _parameters(members, {one.name for one in kept})

        @functools.wraps(command)
        def wrapper(**values: Any) -> Any:
            filled = {
                name: group.value({one.name: values.pop(one.name) for one in parameters[name]})
                for name, group in members.items()
            }
            return command(**values, **filled)

        shown = sum(parameters.values(), start=kept)
        wrapper.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {one.name: one.annotation for one in shown}
        return wrapper

    return decorate


def _parameters(members: Mapping[str, Group], kept: set[str]) -> dict[str, list[inspect.Parameter]]:
    """Of each group, by its name."""
    reserved = frozenset(kept).union(
        *(one.names for one in members.values() if isinstance(one, _DataclassGroup))
    )
    return {name: group.parameters(reserved) for name, group in members.items()}


def one_of(value: str, choices: Any, option: str) -> str:
    if value not in choices:
        raise UsageError(f"{option} {value}: there are {', '.join(choices)}")
    return value
