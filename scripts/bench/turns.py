"""Competitors measured in turns, so that a busy machine slows all alike."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence


def alternate(
    commands: Mapping[str, Sequence[Sequence[str]]], repeats: int
) -> dict[str, list[float]]:
    """Wall times in seconds of each name's commands, one after another. Exits where one fails."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, steps in commands.items():
            began = time.perf_counter()
            for step in steps:
                done = subprocess.run(step, check=False, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{name}: {done.stderr}")
            times[name].append(time.perf_counter() - began)
    return times
