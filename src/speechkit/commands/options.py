"""The options that mean the same in every command."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from speechkit.errors import UsageError
from speechkit.io.machine import visible_gpus

if TYPE_CHECKING:
    from speechkit.runtime.placement import Hardware

SHARED = "Shared options"

# The names of the variables follow one rule that the main help states once.
Option: Any = functools.partial(typer.Option, show_envvar=False)


def _set_level(level: str) -> str:
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise typer.BadParameter(f"{level!r} is none of debug, info, warning, error")
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
    int | None, Option(min=1, help="Take this channel instead of mixing all down.")
]
TrackOption = Annotated[
    str | None,
    Option(
        metavar="N|LANG",
        help="Take this audio track of films, by number or language (eng), instead of the one "
        "marked default.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Options from a YAML file; the command line and SPEECHKIT_* come first.",
        callback=_load_config,
        is_eager=True,
        envvar="SPEECHKIT_CONFIG",
        rich_help_panel=SHARED,
    ),
]
DebugOption = Annotated[
    bool,
    Option(
        "--debug",
        help="Show tracebacks and debug messages.",
        callback=_set_debug,
        is_eager=True,
        envvar="SPEECHKIT_DEBUG",
        rich_help_panel=SHARED,
    ),
]


@dataclass(frozen=True, slots=True)
class RunFlags:
    """How a stage is run; every field is an option of every stage."""

    output: Annotated[
        str | None,
        Option(
            "--output",
            "-o",
            metavar="FILE|-",
            help="The output manifest. Default: stdout.",
            rich_help_panel=SHARED,
        ),
    ] = None
    workers: Annotated[
        int,
        Option(
            min=0,
            help="Worker processes; 0: as many as the CPUs granted.",
            envvar="SPEECHKIT_WORKERS",
            rich_help_panel=SHARED,
        ),
    ] = 0
    limit: Annotated[
        int | None,
        Option(
            min=1, help="Take only the first N utterances.", rich_help_panel=SHARED, metavar="N"
        ),
    ] = None
    retry_failed: Annotated[
        bool,
        Option(
            "--retry-failed",
            help="Run the utterances of OUTPUT that have an error once more.",
            rich_help_panel=SHARED,
        ),
    ] = False
    restart: Annotated[
        bool,
        Option(
            "--restart",
            help="Begin anew, whatever is in OUTPUT or OUTPUT.part.",
            rich_help_panel=SHARED,
        ),
    ] = False
    time_limit: Annotated[
        float,
        Option(
            min=0.0,
            help="Give an utterance up after this many seconds of work for each second of its "
            "audio (and three times as many at least); 0: never.",
            envvar="SPEECHKIT_TIME_LIMIT",
            rich_help_panel=SHARED,
        ),
    ] = 20.0
    summary: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write the closing summary as JSON.", rich_help_panel=SHARED),
    ] = None
    config: ConfigOption = None
    log_level: Annotated[
        str,
        Option(
            help="debug, info, warning or error.",
            callback=_set_level,
            envvar="SPEECHKIT_LOG_LEVEL",
            rich_help_panel=SHARED,
        ),
    ] = "warning"
    debug: DebugOption = False


@dataclass(frozen=True, slots=True)
class FormatFlags:
    """Text files beside the manifest."""

    format: Annotated[
        list[str] | None,
        Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="Also write this format (repeatable), to --output-dir or, without any output "
            "option, to stdout instead of the manifest.",
        ),
    ] = None
    output_dir: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Folder for the formats: a file for each recording, the input's tree kept. "
            "The manifest goes there too unless -o names another place.",
        ),
    ] = None
    one_file: Annotated[
        bool, Option("--one-file", help="One file for all recordings in --output-dir.")
    ] = False


@dataclass(frozen=True, slots=True)
class DeviceFlags:
    """Where an engine runs; changes no result."""

    device: Annotated[
        str,
        Option(
            metavar="auto|cpu|cuda:0|mps",
            help="auto: a GPU where there is one.",
            rich_help_panel=SHARED,
            envvar="SPEECHKIT_DEVICE",
        ),
    ] = "auto"
    devices: Annotated[
        str | None,
        Option(
            metavar="0,1,2,3",
            help="These GPUs, each with a worker process of its own. Default: one GPU.",
            rich_help_panel=SHARED,
            envvar="SPEECHKIT_DEVICES",
        ),
    ] = None
    batch_size: Annotated[
        str,
        Option(
            metavar="N|auto",
            help="Windows computed at once; halved where memory runs out.",
            rich_help_panel=SHARED,
        ),
    ] = "auto"
    offline: Annotated[
        bool,
        Option(
            "--offline",
            help="Take models from folders and the cache alone.",
            rich_help_panel=SHARED,
            envvar="SPEECHKIT_OFFLINE",
        ),
    ] = False
    copy_models_to: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Load models from a copy in this folder of the machine's own disk; the first "
            "process to need one makes it.",
            rich_help_panel=SHARED,
            envvar="SPEECHKIT_COPY_MODELS_TO",
        ),
    ] = None

    def hardware(self, more: Mapping[str, Any] | None = None) -> Hardware:
        """With an engine's options of its own. Raises `UsageError`."""
        from speechkit.runtime.placement import Hardware

        gpus = self._gpus()
        return Hardware(
            "cuda" if gpus else self.device,
            self._batch(),
            self.offline,
            more or {},
            gpus,
            self.copy_models_to,
        )

    def _gpus(self) -> tuple[str, ...]:
        """As CUDA_VISIBLE_DEVICES names them, whose first is number 0 where it is set."""
        if self.devices is None:
            return ()
        numbers = self.devices.split(",")
        if not all(number.isdecimal() for number in numbers) or len({*numbers}) < len(numbers):
            raise UsageError(f"--devices {self.devices}: numbers of GPUs, each once, as 0,1,2,3")
        if self.device != "auto":
            raise UsageError("--device and --devices exclude each other")
        visible = visible_gpus()
        if visible is None:
            return tuple(numbers)
        if max(map(int, numbers)) >= len(visible):
            raise UsageError(
                f"--devices {self.devices}: CUDA_VISIBLE_DEVICES grants {len(visible)}, from 0 on"
            )
        return tuple(visible[int(number)] for number in numbers)

    def _batch(self) -> int:
        """The number, 0 for auto. Raises `UsageError`."""
        if self.batch_size == "auto":
            return 0
        if not self.batch_size.isdecimal() or int(self.batch_size) < 1:
            raise UsageError(f"--batch-size {self.batch_size}: a number from 1 on, or auto")
        return int(self.batch_size)


def takes(**groups: type) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives a command the options of dataclasses: ``@takes(run=RunFlags)`` fills ``run``."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        # Not get_type_hints, which hides an Annotated in an Optional on Python 3.10.
        parameters = inspect.signature(command, eval_str=True).parameters.values()
        own = [one for one in parameters if one.name not in groups]
        shared = [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=one.default,
                annotation=annotations[one.name],
            )
            for group in groups.values()
            for annotations in [get_type_hints(group, include_extras=True)]
            for one in fields(group)
        ]

        @functools.wraps(command)
        def wrapper(**values: Any) -> int:
            filled = {
                name: group(**{one.name: values.pop(one.name) for one in fields(group)})
                for name, group in groups.items()
            }
            return command(**values, **filled)

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        wrapper.__signature__ = inspect.Signature([*keyword, *shared])  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in [*keyword, *shared]}
        return wrapper

    return decorate


def one_of(value: str, choices: Any, option: str) -> str:
    if value not in choices:
        raise UsageError(f"{option} {value}: there are {', '.join(choices)}")
    return value
