"""The command line: a Typer app. Every error becomes a sentence on stderr and an exit code."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from speechkit.commands.console import say
from speechkit.commands.help import Commands, CommandTable, Entry
from speechkit.commands.options import Option
from speechkit.errors import SpeechkitError
from speechkit.io.file_names import shown
from speechkit.runtime import logs
from speechkit.version import __version__

COMMANDS = CommandTable(
    {
        "Speech to text": (
            Entry("manifest", "manifest:manifest", "List audio files."),
            Entry("validate", "validate:validate", "Find what is wrong with recordings."),
            Entry("vad", "vad:vad", "Find speech in recordings."),
            Entry("asr", "asr:asr", "Transcribe speech."),
            Entry("stream", "stream:stream", "Transcribe speech while it is spoken."),
            Entry("serve", "serve:serve", "Transcribe on a page, and by OpenAI's API."),
            Entry("export", "export:export", "Write results as subtitles and other text formats."),
            Entry("score", "score:score", "Compare transcripts with references: WER and CER."),
        ),
        "Speech to speech": (
            Entry("s2s", "s2s:s2s", "Convert speech to discrete units and back to speech."),
            Entry(
                "convert-quantizer",
                "convert_quantizer:convert_quantizer",
                "Extract the centroids of a scikit-learn k-means.",
            ),
        ),
        "Speech to vectors": (
            Entry(
                "embed",
                "embed:embed",
                "Make a vector of each utterance.",
                subcommands=(
                    Entry("search", "embed_search:search", "Find what is most like a query."),
                    Entry("dedup", "embed_dedup:dedup", "Find near duplicates."),
                    Entry("probe", "embed_probe:probe", "Read a label from vectors."),
                ),
            ),
        ),
        "Training": (
            Entry("finetune", "finetune:finetune", "Train a Whisper on speech and its text."),
        ),
        "Large data sets": (
            Entry(
                "split-manifest",
                "split_manifest:split_manifest",
                "Split a manifest for a job array.",
            ),
            Entry(
                "merge-results",
                "merge_results:merge_results",
                "Merge the results of splits, and prove that none is missing.",
            ),
            Entry("slurm", "slurm:app", "Run a stage as SLURM job arrays."),
            Entry("report", "report:report", "Show a run or a job array on a page in HTML."),
        ),
        "Installation and models": (
            Entry(
                "doctor",
                "doctor:doctor",
                "Report which engines are ready, and how to install the others.",
            ),
            Entry("models", "models:app", "List, fetch and verify models."),
        ),
    }
)


class SpeechkitCommands(Commands):
    table = COMMANDS


app = typer.Typer(
    name="speechkit",
    cls=SpeechkitCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "auto_envvar_prefix": "SPEECHKIT",
        "help_option_names": ["-h", "--help"],
    },
)


def _show_version(version: bool) -> None:
    if version:
        typer.echo(f"speechkit {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Every option can also come from a variable (SPEECHKIT_VAD_THRESHOLD=0.6 for vad, "
    "SPEECHKIT_WORKERS=8 for every command) or from a YAML file (--config). The command line has "
    "priority, then variables, then the file. Exit codes: 0 all done, 1 fatal, 2 usage, 3 finished "
    "but some utterances failed or are not valid, 4 merge incomplete, 75 stopped by a signal or a "
    "hang: run again to resume."
)
def speechkit(
    version: Annotated[
        bool,
        Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Composable speech-pipeline stages.

    \b
    speechkit vad talks/ | speechkit asr - --format srt --output-dir subtitles

    Every utterance that goes in comes out exactly once: with a result, or with an error that gives
    the reason.
    """


_STREAM_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def _open_streams() -> None:
    """Open closed standard streams on the null device, so that no other file takes their numbers.

    Writing to a closed stdout still fails.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Takes the lowest free number. Read-only: data written to a closed stdout must not
            # vanish without an error.
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115


def _current_folder_exists() -> bool:
    try:
        return bool(os.getcwd())  # noqa: PTH109
    except FileNotFoundError:
        return False


def _sentence(error: Exception) -> str:
    if isinstance(error, SpeechkitError):
        return str(error)
    if isinstance(error, FileNotFoundError) and not _current_folder_exists():
        return "the current folder was removed or moved; change to a folder that exists"
    # Errors of files carry a name; those of standard streams don't.
    if isinstance(error, OSError) and error.errno in _STREAM_ERRORS and not error.filename:
        return f"stdout: can't be written: {error.strerror}"
    if isinstance(error, OSError) and error.filename:
        return f"{shown(error.filename)}: {error.strerror}"
    return f"internal error: {error!r} (--debug shows where)"


def main() -> None:
    _open_streams()
    logs.configure(_first_settings(sys.argv))
    try:
        try:
            code = app(prog_name="speechkit", standalone_mode=False)
        finally:
            sys.stdout.flush()
    except Exception as e:
        _fail(e)
    sys.exit(code)


def _first_settings(arguments: Sequence[str]) -> logs.LogSettings:
    """The format in which errors of the command line itself are told."""
    as_json = any(
        option == "--log-format=json" or (option, value) == ("--log-format", "json")
        for option, value in zip(arguments, [*arguments[1:], ""], strict=True)
    )
    return logs.LogSettings(form="json" if as_json else "text")


def _fail(error: Exception) -> NoReturn:
    """Tell of an error and end the process."""
    from speechkit.io import process_failure

    if hasattr(error, "format_message"):  # click's own, which tells of wrong arguments
        _tell_usage(error)
    logging.getLogger("speechkit").debug("traceback", exc_info=True)
    code = error.exit_code if isinstance(error, SpeechkitError) else 1
    if not isinstance(error, BrokenPipeError):  # the reader of stdout has closed it: no message
        sentence, prefix = _sentence(error), "" if logs.settings().as_json else "speechkit: "
        with suppress(OSError):
            kind = type(error).__name__
            say(f"{prefix}{sentence}", "error", "error", exit_code=code, type=kind)
        process_failure.report(code, sentence)
    if isinstance(error, OSError):  # keeps Python from flushing the rest to stdout again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _tell_usage(error: Any) -> NoReturn:
    code: int = error.exit_code
    if logs.settings().as_json:
        say(error.format_message(), "error", "error", exit_code=code, type="UsageError")
    else:
        error.show()
    sys.exit(code)


if __name__ == "__main__":
    main()
