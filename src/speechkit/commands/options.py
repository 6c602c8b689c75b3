"""Options with the same meaning in every command, and the declaration of options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Protocol, get_type_hints

import typer

from speechkit.commands.completion import subcommands
from speechkit.commands.log_settings import set_debug, set_format, set_levels
from speechkit.errors import UsageError
from speechkit.runtime import logs

SHARED = "Running"
MESSAGES = "Settings and messages"


def Option(*names: str, choices: Iterable[str] = (), section: str = "", **settings: Any) -> Any:  # noqa: N802
    """An option of a command.

    ``choices``: its values, for the help and for completion. ``section``: its section of the help.
    ``settings`` go to Typer. Variables are left out, because the help explains them once for all
    options.
    """
    values = [*choices]
    if values:
        settings = {"metavar": "|".join(values), "autocompletion": _completion(values), **settings}
    if section:
        settings["rich_help_panel"] = section  # printed by `Command`, without rich
    return typer.Option(*names, show_envvar=False, **settings)


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


def _load_config(context: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        from speechkit.commands.config import defaults

        context.default_map = defaults(path, context)
    return path


InputsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Audio files, folders, manifests (.jsonl, .json, .gz), or - for a manifest on stdin.",
        show_default=False,
        autocompletion=subcommands,
    ),
]
ChannelOption = Annotated[
    int | None,
    AudioOption(min=1, metavar="N", help="Channel to read. Default: the mean of all channels."),
]
TrackOption = Annotated[
    str | None,
    AudioOption(
        metavar="N|LANG",
        help="Audio track to read, by number or language (eng). Default: the track marked as "
        "default.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    MessageOption(
        metavar="FILE",
        help="Read options from a YAML file. The command line and SPEECHKIT_* variables have "
        "priority.",
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
        callback=set_debug,
        is_eager=True,
        envvar="SPEECHKIT_DEBUG",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFlags:
    """The channel and the track to read."""

    channel: ChannelOption = None
    track: TrackOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """Options of every stage: its output and how it runs."""

    output: Annotated[
        str | None,
        OutputOption("--output", "-o", metavar="FILE|-", help="Output manifest. Default: stdout."),
    ] = None
    summary: Annotated[
        Path | None,
        OutputOption(metavar="FILE", help="Write the closing summary to this file, as JSON."),
    ] = None
    workers: Annotated[
        int,
        RunOption(
            min=0,
            metavar="N",
            show_default=False,
            help="Worker processes. Default: 0, at most one per CPU granted.",
            envvar="SPEECHKIT_WORKERS",
        ),
    ] = 0
    limit: Annotated[
        int | None, RunOption(min=1, metavar="N", help="Process only the first N utterances.")
    ] = None
    retry_failed: Annotated[
        bool,
        RunOption("--retry-failed", help="Run only the utterances of the output that failed."),
    ] = False
    restart: Annotated[
        bool,
        RunOption("--restart", help="Start over, and discard an existing or unfinished output."),
    ] = False
    time_limit: Annotated[
        float,
        RunOption(
            min=0.0,
            metavar="FACTOR",
            help="Seconds of work allowed per second of audio, before an utterance fails. Audio "
            "shorter than 3 s counts as 3 s. 0: no limit.",
            envvar="SPEECHKIT_TIME_LIMIT",
        ),
    ] = 20.0
    config: ConfigOption = None
    metrics: Annotated[
        Path | None,
        MessageOption(
            metavar="FILE",
            help="Append samples of each second and the times of each utterance to this .jsonl "
            "file, for `speechkit report`.",
        ),
    ] = None
    prometheus: Annotated[
        Path | None,
        MessageOption(
            metavar="FILE",
            help="Keep a text file for Prometheus (node_exporter's textfile collector) up to date.",
        ),
    ] = None
    log_format: Annotated[
        str,
        MessageOption(
            choices=logs.FORMATS,
            help="Format of messages on stderr. json: one object a line.",
            callback=set_format,
            is_eager=True,
            envvar="SPEECHKIT_LOG_FORMAT",
        ),
    ] = "text"
    log_level: Annotated[
        str,
        MessageOption(
            choices=logs.LEVELS,
            help="Lowest level of messages shown, also for single modules: "
            "info,runtime.pool=debug.",
            callback=set_levels,
            envvar="SPEECHKIT_LOG_LEVEL",
        ),
    ] = "warning"
    debug: DebugOption = False


class Group(Protocol):
    """Options that a command receives as a single value."""

    def parameters(self, reserved: frozenset[str]) -> list[inspect.Parameter]:
        """Return keyword parameters with names other than the ``reserved`` ones."""
        ...

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value of the group, from the values of its parameters by name."""
        ...


class _DataclassGroup:
    """The fields of a dataclass, each ``Annotated`` with its option. The value is an instance."""

    def __init__(self, kind: type, omitted: Iterable[str] = ()) -> None:
        self._kind = kind
        self._fields = [field for field in fields(kind) if field.name not in {*omitted}]
        self.names = frozenset(field.name for field in self._fields)

    def parameters(self, reserved: frozenset[str]) -> list[inspect.Parameter]:
        annotations = get_type_hints(self._kind, include_extras=True)
        return [
            parameter(field.name, annotations[field.name], field.default) for field in self._fields
        ]

    def value(self, values: Mapping[str, Any]) -> Any:
        return self._kind(**values)


def without(kind: type, *names: str) -> Group:
    """The options of a dataclass but for some, which keep their defaults."""
    return _DataclassGroup(kind, names)


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)


def takes(**groups: type | Group) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command options in groups: ``@takes(run=RunFlags)`` passes a RunFlags as ``run``."""
    members: dict[str, Group] = {
        name: _DataclassGroup(group) if isinstance(group, type) else group
        for name, group in groups.items()
    }

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        # On Python 3.10, get_type_hints hides an Annotated in an Optional.
        signature = inspect.signature(command, eval_str=True).parameters
        kept = [
            parameter(name, argument.annotation, argument.default)
            for name, argument in signature.items()
            if name not in groups
        ]
        parameters = _parameters(members, {argument.name for argument in kept})

        @functools.wraps(command)
        def wrapper(**values: Any) -> Any:
            filled = {
                name: group.value({p.name: values.pop(p.name) for p in parameters[name]})
                for name, group in members.items()
            }
            return command(**values, **filled)

        shown = sum(parameters.values(), start=kept)
        wrapper.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {argument.name: argument.annotation for argument in shown}
        return wrapper

    return decorate


def _parameters(members: Mapping[str, Group], kept: set[str]) -> dict[str, list[inspect.Parameter]]:
    """The parameters of each group, by the name of the group."""
    reserved = frozenset(kept).union(
        *(group.names for group in members.values() if isinstance(group, _DataclassGroup))
    )
    return {name: group.parameters(reserved) for name, group in members.items()}


def require_choice(value: str, choices: Any, option: str) -> str:
    """Return a value that is among the choices. Raises `UsageError`."""
    if value not in choices:
        raise UsageError(f"{option} {value}: there are {', '.join(choices)}")
    return value


def require_one_on_stdout(output: str | None, *, as_json: bool) -> None:
    """Raise `UsageError` for two kinds of data on stdout."""
    if output == "-" and as_json:
        raise UsageError("-o - and --json: only one of them fits on stdout")
