"""Runs on a card: the command line in the background, and engines in this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runkit import entries, records

ROOT = Path(__file__).resolve().parents[2]
DEVICE = "cuda"
MANY = 600  # utterances of a run that is to be stopped on its way


@dataclass(frozen=True)
class Spoken:
    audio_filepath: str
    duration: float
    text: str


def has_device() -> bool:
    import torch

    return torch.cuda.is_available()


def made(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no {path}: make models")
    return path


class Run:
    """``speechkit`` with an output, in the background."""

    def __init__(self, folder: Path, *arguments: object, env: dict[str, str] | None = None) -> None:
        self.out = folder / "out.jsonl"
        self._log = folder / f"{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "speechkit", *map(str, arguments), "-o", str(self.out)]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **(env or {})}
            )

    def done(self) -> int:
        """Utterances answered so far."""
        return entries(self.out)

    def ends(self, timeout: float = 120.0) -> tuple[int, str]:
        """The exit code, and what was said."""
        code = self.process.wait(timeout)
        said = self._log.read_text(errors="replace")
        assert "Traceback" not in said, said
        return code, said


def assert_complete(out: Path, manifest: Path) -> list[dict[str, Any]]:
    """Every utterance once, in order, with a result."""
    found, asked = records(out), records(manifest)
    assert [one["audio_filepath"] for one in found] == [one["audio_filepath"] for one in asked]
    assert [one for one in found if "error" in one] == []
    return found
