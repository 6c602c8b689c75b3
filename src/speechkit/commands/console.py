"""What commands say to people, on stderr; data goes to stdout."""

from __future__ import annotations

import logging
import sys

from speechkit.io.file_names import harmless


def say(text: str) -> None:
    """Names and texts in it don't reach the terminal as anything but characters."""
    print(harmless(text), file=sys.stderr, flush=True)


class LogFormatter(logging.Formatter):
    """As `say`."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))
