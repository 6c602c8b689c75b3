"""The command that starts a module of speechkit as a process."""

from __future__ import annotations

import sys


def command(module: str, *arguments: str) -> list[str]:
    """Return a command that runs ``main`` of a module.

    Its path lacks the current folder, which ``python -c`` and ``python -m`` add: a queue.py among
    the user's data must not be imported. (-P does the same, from Python 3.11 on.)
    """
    code = "import sys; sys.path[:] = filter(None, sys.path); "
    return [sys.executable, "-c", f"{code}from {module} import main; main()", *arguments]
