"""How a program of ours is started as a process of its own."""

from __future__ import annotations

import sys


def command(module: str, *arguments: str) -> list[str]:
    """Runs ``main`` of a module of ours.

    Without the current folder on its path, where ``python -c`` and ``python -m`` put it: a queue.py
    among the user's data must not be imported. (-P does this, but not before Python 3.11.)
    """
    code = "import sys; sys.path[:] = filter(None, sys.path); "
    return [sys.executable, "-c", f"{code}from {module} import main; main()", *arguments]
