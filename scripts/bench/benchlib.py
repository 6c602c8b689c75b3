"""Shared by the benchmarks: options, machine and versions, programs timed in turns, memory."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "data"
EXAMPLES = ROOT / "examples" / "speech"
MODELS, TINY_MODELS = ROOT / ".cache" / "models", ROOT / ".cache" / "tiny-models"
CPUS = len(os.sched_getaffinity(0))
SPEECHKIT = str(Path(sys.executable).with_name("speechkit"))
READ_SECONDS = 0.05  # between two readings of memory
PEAK_SECONDS = 0.2  # the same of all children, each of which takes milliseconds


# ---------------------------------------------------------------- options and heading
def parser(
    docstring: str | None,
    *,
    repeats: int | None = None,
    data: Path | None = None,
    peers: bool = False,
) -> argparse.ArgumentParser:
    """Return a script's parser, with ``--repeats`` and ``--data`` where they have a default.

    ``peers``: the script runs itself with ``--run NAME ARGUMENT...`` as a peer's program."""
    built = argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if peers:
        built.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    if data:
        built.add_argument("--data", type=Path, default=data, help="folder of speech")
    if repeats:
        built.add_argument("--repeats", type=int, default=repeats, help="runs of each command")
    return built


def heading(*packages: str, note: str = "") -> None:
    """Print the machine and the versions that the figures are of."""
    found = [f"Python {platform.python_version()}"]
    for package in ("speechkit", *packages):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    print(f"{CPUS} CPUs ({_processor()}), {', '.join(found)}")
    if note:
        print(note, flush=True)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


# ---------------------------------------------------------------- manifests
def read_manifest(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_manifest(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_cycled(path: Path, manifest: Path, count: int) -> Path:
    """Write the first ``count`` lines of a manifest that is repeated without end."""
    lines = manifest.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[index % len(lines)] for index in range(count)))
    return path


# ---------------------------------------------------------------- time
@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of a program and all its children."""

    wall: float
    cpu: float


def speechkit(*arguments: object) -> list[str]:
    return [SPEECHKIT, *map(str, arguments)]


def timed(*commands: Sequence[str]) -> Timing:
    """Run commands one after another. Exits where one fails."""
    before, began = os.times(), time.perf_counter()
    for command in commands:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    wall, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system
    return Timing(wall, used - before.children_user - before.children_system)


def alternate(
    commands: Mapping[str, Sequence[Sequence[str]]], repeats: int
) -> dict[str, list[Timing]]:
    """Time each name's commands, in turns, so that a busy machine slows all alike."""
    times: dict[str, list[Timing]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, steps in commands.items():
            times[name].append(timed(*steps))
    return times


def median(timings: Iterable[Timing]) -> Timing:
    """The medians of wall and of CPU seconds."""
    every = list(timings)
    return Timing(
        statistics.median(timing.wall for timing in every),
        statistics.median(timing.cpu for timing in every),
    )


def wall_medians(commands: Mapping[str, Sequence[Sequence[str]]], repeats: int) -> dict[str, float]:
    """Median wall seconds of each name's commands, timed in turns."""
    return {name: median(timings).wall for name, timings in alternate(commands, repeats).items()}


# ---------------------------------------------------------------- memory
class PeakMemory:
    """A context in which the memory of this process's children, and of theirs, is read.

    ``peak``: of all together in bytes, what they share counted once (proportional set size).
    """

    def __init__(self) -> None:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _read(self) -> None:
        import psutil

        while not self._ended.wait(PEAK_SECONDS):
            total = 0
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    total += child.memory_full_info().pss
            self.peak = max(self.peak, total)


@dataclass(frozen=True, slots=True)
class Growth:
    """Median resident bytes of the largest worker around two counts of utterances."""

    early: float
    late: float

    def text(self, early: int, late: int) -> str:
        return (
            f"{self.early / 1e6:.0f} MB after {early} utterances, {self.late / 1e6:.0f} MB after "
            f"{late}: {100 * (self.late / self.early - 1):+.1f} %"
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """Resident bytes of a run's main process and of its largest worker, with so many utterances
    ``done``."""

    done: int
    main: int
    worker: int


def memory_readings(command: Sequence[str], output: Path) -> Iterator[Reading]:
    """Run a stage, and read its memory as utterances come. Exits where it fails."""
    import psutil

    part = output.with_name(f"{output.name}.part")
    done, read = -1, 0  # the first line of a part is no utterance
    running = subprocess.Popen(command)
    main = psutil.Process(running.pid)
    while running.poll() is None:
        time.sleep(READ_SECONDS)
        with suppress(OSError, psutil.Error):
            if part.exists():
                with part.open("rb") as file:
                    file.seek(read)
                    while chunk := file.read(1 << 20):
                        done += chunk.count(b"\n")
                        read += len(chunk)
            workers = [process.memory_info().rss for process in main.children()]
            if workers and done > 0:
                yield Reading(done, main.memory_info().rss, max(workers))
    if running.returncode not in (0, 3):
        sys.exit(running.returncode)


def growth(command: Sequence[str], output: Path, early: int, late: int, around: int) -> Growth:
    """Run a stage, and read its workers' memory as utterances come: those that lie at most
    ``around`` from ``early`` and ``late`` count. Exits where it fails."""
    readings = list(memory_readings(command, output))
    return Growth(
        *(
            statistics.median(one.worker for one in readings if abs(one.done - point) <= around)
            for point in (early, late)
        )
    )
