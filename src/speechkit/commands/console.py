"""The output of commands: messages and reports on stderr, data on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from speechkit.io.file_names import harmless
from speechkit.reports import Report
from speechkit.runtime.logs import say

__all__ = ["conclude", "data_stream", "encoded", "print_text", "say", "show", "write_json"]


def print_text(text: str) -> None:
    """Print data on stdout, in UTF-8 under any locale."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


@contextmanager
def data_stream() -> Iterator[BinaryIO]:
    """stdout, unbuffered, for data alone: what libraries print inside goes to stderr."""
    sys.stdout.flush()
    data = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(data, "wb", buffering=0, closefd=False) as file:
            yield file
    finally:
        os.dup2(data, 1)
        os.close(data)


def conclude(report: Report, summary: Path | None = None) -> int:
    """Print a report on stderr and write it to a summary file. Return its exit code."""
    exit_code = report.exit_code
    say(str(report.view()), "summary", "info", exit_code=exit_code, summary=report.to_json())
    if summary:
        write_json(report, summary)
    return exit_code


def show(report: Report, *, as_json: bool = False, on_stderr: bool = False) -> int:
    """Print a report on stdout, as text or as JSON. Return its exit code."""
    if as_json:
        sys.stdout.buffer.write(encoded(report))
        sys.stdout.buffer.flush()
        return report.exit_code
    view = report.view()
    if isinstance(view, str):
        print(harmless(view), file=sys.stderr if on_stderr else sys.stdout)
    else:
        from rich.console import Console

        Console(stderr=on_stderr).print(view)
    return report.exit_code


def write_json(report: Report, summary: Path) -> None:
    from speechkit.io import atomic

    with atomic.publish(summary) as file:
        file.write(encoded(report))


def encoded(report: Report) -> bytes:
    """Return a report as JSON.

    The lone surrogates of a name that is not UTF-8 are escaped, as ``\\udcff``.
    """
    text = json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n"
    return text.encode("utf-8", "backslashreplace")
