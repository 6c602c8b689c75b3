"""The command line: one Typer app, and every error turned into a sentence and an exit code."""

from __future__ import annotations

import errno
import logging
import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from speechkit import __version__
from speechkit.commands.asr import asr
from speechkit.commands.console import LogFormatter, say
from speechkit.commands.convert_quantizer import convert_quantizer
from speechkit.commands.doctor import doctor
from speechkit.commands.export import export
from speechkit.commands.manifest import manifest
from speechkit.commands.merge_results import merge_results
from speechkit.commands.models import app as models
from speechkit.commands.options import Option
from speechkit.commands.s2s import s2s
from speechkit.commands.score import score
from speechkit.commands.slurm import app as slurm
from speechkit.commands.split_manifest import split_manifest
from speechkit.commands.vad import vad
from speechkit.errors import SpeechkitError
from speechkit.io.file_names import shown


class Commands(TyperGroup):
    """Ends the process with the exit code that a command returns; None is 0."""

    def invoke(self, context: Any) -> Any:
        raise typer.Exit(super().invoke(context) or 0)


app = typer.Typer(
    name="speechkit",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "auto_envvar_prefix": "SPEECHKIT",
        "help_option_names": ["-h", "--help"],
    },
)


class Command(TyperCommand):
    """SPEECHKIT_VAD_WORKERS, which is about one command, comes before SPEECHKIT_WORKERS."""

    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(name, **more)
        for option in self.params:
            if option.envvar:
                own = f"SPEECHKIT_{name}_{option.name}".replace("-", "_").upper()
                option.envvar = [own, str(option.envvar)]


for command in (
    *(manifest, vad, asr, s2s, export, score),
    *(split_manifest, merge_results, convert_quantizer, doctor),
):
    app.command(command.__name__.replace("_", "-"), cls=Command)(command)
app.add_typer(slurm, name="slurm")
app.add_typer(models, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"speechkit {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Every option can also come from a variable, as SPEECHKIT_VAD_THRESHOLD=0.6 for vad "
    "(SPEECHKIT_WORKERS for every command), or from a YAML file (--config); the command line "
    "comes first, the file last. Exit codes: 0 all done, 1 fatal, 2 usage, 3 finished but some "
    "utterances failed, 4 merge incomplete, 75 stopped by a signal or a stall: run again to go on."
)
def speechkit(
    version: Annotated[
        bool,
        Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Composable speech-pipeline stages. Every utterance that goes in comes out exactly once: with
    a result, or with an error that says why."""


_STREAM_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def _open_streams() -> None:
    """Gives a closed standard stream a descriptor, so that no file of ours takes its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Lands on the lowest free number; writing to a closed stdout has to fail, not vanish.
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115


def _in_a_folder() -> bool:
    """Whether the current folder is still there."""
    try:
        return bool(os.getcwd())  # noqa: PTH109
    except FileNotFoundError:
        return False


def _sentence(error: Exception) -> str:
    if isinstance(error, SpeechkitError):
        return str(error)
    if isinstance(error, FileNotFoundError) and not _in_a_folder():
        return "the current folder is gone: it was removed, or moved; change to one that is there"
    # Files come with their names; what has none is a standard stream.
    if isinstance(error, OSError) and error.errno in _STREAM_ERRORS and not error.filename:
        return f"stdout: can't be written: {error.strerror}"
    if isinstance(error, OSError) and error.filename:
        return f"{shown(error.filename)}: {error.strerror}"
    return f"internal error: {error!r} (--debug shows where)"


def main() -> None:
    _open_streams()
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[to_stderr])
    log = logging.getLogger("speechkit")
    try:
        try:
            app(prog_name="speechkit")
        finally:
            sys.stdout.flush()
    except Exception as e:
        from speechkit.io import outcome

        log.debug("traceback", exc_info=True)
        if not isinstance(e, BrokenPipeError):  # a reader that has enough is told nothing
            with suppress(OSError):
                say(f"speechkit: {_sentence(e)}")
            outcome.report(getattr(e, "exit_code", 1), _sentence(e))
        if isinstance(e, OSError):  # what stdout could not take must not be tried again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(e.exit_code if isinstance(e, SpeechkitError) else 1)


if __name__ == "__main__":
    main()
