"""Inputs and outputs of runs, as tests write, read and await them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any


def write_manifest(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def records(output: Path | bytes) -> list[dict[str, Any]]:
    """The records of a file, or of what was written to stdout."""
    data = output if isinstance(output, bytes) else output.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def part_of(out: Path) -> Path:
    """Where an unfinished output is."""
    return out.with_name(f"{out.name}.part")


def entries(out: Path) -> int:
    """Utterances answered so far in an unfinished output, whose first line is the run's own."""
    try:
        return max(0, part_of(out).read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def until(
    condition: Callable[[], Any],
    seconds: float = 120.0,
    what: str = "it never came",
    *,
    every: float = 0.005,
) -> Any:
    """Ask ``every`` so many seconds for what the condition gives once it holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(every)
    return found
