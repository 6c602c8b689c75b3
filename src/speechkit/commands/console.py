"""What commands print: messages and reports to stderr, data to stdout."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from speechkit.io.file_names import harmless
from speechkit.reports import Report


def say(text: str) -> None:
    """Prints a message on stderr. Control characters of names and texts are written out."""
    print(harmless(text), file=sys.stderr, flush=True)


def print_text(text: str) -> None:
    """Prints data on stdout, in UTF-8 whatever the locale says."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def conclude(report: Report, summary: Path | None = None) -> int:
    """Says a report on stderr and writes it to a summary file; returns its exit code."""
    say(str(report.view()))
    if summary:
        write_json(report, summary)
    return report.exit_code


def show(report: Report, *, as_json: bool = False, on_stderr: bool = False) -> int:
    """Prints a report on stdout, for people or as JSON; returns its exit code."""
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
    """A report as JSON. A name that is no UTF-8 holds lone surrogates: ``\\udcff`` in JSON."""
    text = json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n"
    return text.encode("utf-8", "backslashreplace")


class LogFormatter(logging.Formatter):
    """As `say`."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))
