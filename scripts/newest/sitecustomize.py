"""Logs what warns of the future in every Python process that has this folder on PYTHONPATH, a line
each in the file WARNINGS_LOG; what a process prints stays as it is."""

import contextlib
import os
import warnings

LOG = os.environ["WARNINGS_LOG"]
QUIET = (DeprecationWarning, PendingDeprecationWarning)

show = warnings.showwarning


def log(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, (*QUIET, FutureWarning)):
        place = filename.rpartition("site-packages/")[2]
        text = " ".join(str(message).split())
        with contextlib.suppress(OSError), open(LOG, "a", encoding="utf-8") as lines:
            lines.write(f"{category.__name__}: {text} ({place}:{lineno})\n")
    if not issubclass(category, QUIET):
        show(message, category, filename, lineno, file, line)


warnings.showwarning = log
for category in QUIET:
    warnings.simplefilter("default", category)
