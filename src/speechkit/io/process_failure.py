"""The sentence with which a process of ours failed, handed to the process that started it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from speechkit.io import typed_json

_VARIABLE = "SPEECHKIT_OUTCOME"  # internal: the file to which a started process reports
_MOST_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class ProcessFailure:
    """The exit code of a process that failed, and the reason in a sentence or more."""

    exit_code: int
    message: str


@dataclass(frozen=True, slots=True)
class FailureFile:
    """A file without a name, which is gone with the last process that has it open.

    The process to be started inherits ``descriptors`` (`subprocess.Popen`'s ``pass_fds``) and needs
    ``variables`` in its environment.
    """

    file: IO[bytes]

    @property
    def descriptors(self) -> tuple[int]:
        return (self.file.fileno(),)

    @property
    def variables(self) -> dict[str, str]:
        return {_VARIABLE: f"/dev/fd/{self.file.fileno()}"}

    def read(self) -> ProcessFailure | None:
        """None where the process reported nothing: it succeeded, or something killed it."""
        self.file.seek(0)
        try:
            return typed_json.to_dataclass(
                ProcessFailure, typed_json.parse(self.file.read(_MOST_BYTES))
            )
        except ValueError:
            return None


@contextmanager
def failure_file() -> Iterator[FailureFile]:
    with tempfile.TemporaryFile() as file:
        yield FailureFile(file)


def report(exit_code: int, message: str) -> None:
    """Report to the process that started this one, if it asked."""
    path = os.environ.get(_VARIABLE)
    if path:
        with suppress(OSError):  # stderr has the sentence in any case
            Path(path).write_text(json.dumps(asdict(ProcessFailure(exit_code, message))))
