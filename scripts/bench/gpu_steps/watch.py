"""`speechkit` run as it is, and watched from outside: what it has written by when, and how busy the
GPU was meanwhile."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

INTERVAL = 0.02  # seconds between looks at the output
SAMPLED = 200  # ms between those at the GPU


@dataclass
class Busy:
    """The GPU's utilisation in percent, sampled by nvidia-smi while this context is open."""

    file: Path
    samples: list[tuple[float, float]] = field(default_factory=list)

    def __enter__(self) -> Busy:
        query = ["nvidia-smi", "--query-gpu=timestamp,utilization.gpu"]
        query += ["--format=csv,noheader,nounits", f"-lms={SAMPLED}"]
        self._process = None
        with contextlib.suppress(FileNotFoundError):  # no NVIDIA driver: nothing to say
            self._process = subprocess.Popen(query, stdout=self.file.open("w"))
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            for said in self.file.read_text().splitlines()[:-1]:
                with contextlib.suppress(ValueError):  # "[N/A]", or an error
                    self.samples.append(_sample(said))

    def mean(self, begin: float, end: float) -> float:
        """Between two moments of time.time(); not a number where nothing was sampled."""
        found = [value for moment, value in self.samples if begin <= moment <= end]
        return sum(found) / len(found) if found else float("nan")


def _sample(said: str) -> tuple[float, float]:
    """Of "2026/11/27 14:02:11.123, 97"."""
    stamp, value = said.split(", ")
    whole, _, fraction = stamp.partition(".")
    moment = time.mktime(time.strptime(whole, "%Y/%m/%d %H:%M:%S"))
    return moment + float(f"0.{fraction or 0}"), float(value)


@dataclass(frozen=True)
class Watched:
    """``first``: seconds from the start to the first result; ``pace``: ms an utterance after the
    first results, to the last; ``busy``: percent meanwhile;
    ``batch``: the size of batches and the precision; ``waited_for``: what the summary says."""

    seconds: float
    first: float
    pace: float
    busy: float
    batch: str
    waited_for: str
    records: list[dict[str, Any]]


def speechkit(arguments: Sequence[object], out: Path, limit: float = 300.0) -> Watched:
    """Runs the command with ``-o OUT --restart``; exits where it fails."""
    part, summary = out.with_name(f"{out.name}.part"), out.with_suffix(".summary.json")
    command = [sys.executable, "-m", "speechkit", *map(str, arguments)]
    command += ["--restart", "-o", str(out), "--summary", str(summary)]
    out.unlink(missing_ok=True)
    seen: list[tuple[float, int]] = []
    began = time.time()
    with Busy(out.with_suffix(".busy")) as busy, out.with_suffix(".log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(INTERVAL)
            done = _lines(part)
            if done > (seen[-1][1] if seen else 0):
                seen.append((time.time(), done))
            if time.time() - began > limit:
                process.kill()
        ended = time.time()
    if process.returncode not in (0, 3):
        said = out.with_suffix(".log").read_text()[-1500:]
        raise RuntimeError(f"speechkit exits with {process.returncode}: {said}")
    records = [json.loads(line) for line in out.read_text().splitlines()]
    failed = [record["error"] for record in records if "error" in record]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(records)} utterances failed: {failed[0]}")
    (start, had), (end, has) = seen[0], seen[-1]
    pace = 1000 * (end - start) / (has - had) if has > had else float("nan")
    used = json.loads(summary.read_text())
    return Watched(
        seconds=ended - began,
        first=start - began,
        pace=pace,
        busy=busy.mean(start, end),
        batch=_batch(used),
        waited_for=_waited_for(used),
        records=records,
    )


def repeated(arguments: Sequence[object], out: Path, repeats: int) -> Watched:
    """The run of the median pace, with the median time to the first result."""
    runs = [speechkit(arguments, out) for _ in range(repeats)]
    run = sorted(runs, key=lambda run: run.pace)[repeats // 2]
    return replace(run, first=median(run.first for run in runs))


def _lines(part: Path) -> int:
    """Utterances answered so far; the first line is the run's own."""
    try:
        return max(0, part.read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


def _waited_for(summary: dict[str, Any]) -> str:
    shares = summary["device"]["waited_for"].items()
    return ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares)


def _batch(summary: dict[str, Any]) -> str:
    device = summary["device"]
    return f"batch {device['batch_size']}, {device['compute_type']}"
