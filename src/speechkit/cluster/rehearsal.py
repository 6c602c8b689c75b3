"""The command of a job, run once before the job is submitted, to see that it can run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from speechkit.errors import UsageError
from speechkit.io.process_failure import failure_file
from speechkit.runtime import interpreter


def rehearse(name: str, arguments: Sequence[str], folder: str) -> None:
    """Run the command in the folder. Raise `UsageError` with its message if it fails."""
    with failure_file() as file:
        done = subprocess.run(
            interpreter.command("speechkit.cli", name, *arguments),
            cwd=folder,
            env={**os.environ, **file.variables},
            pass_fds=file.descriptors,
            capture_output=True,
            text=True,
            check=False,
        )
        outcome = file.read()
    if done.returncode:
        reason = outcome.message if outcome else done.stderr.strip()
        raise UsageError(f"{name} can't run: {reason or f'exit code {done.returncode}'}")
