#!/usr/bin/env python3
"""Reads damaged audio of every kind, and says what is lost in silence, hangs or dies.

    python scripts/fuzz_audio.py [--count 2000] [--seed 1] [--kinds TEXT] [--jobs N]
    python scripts/fuzz_audio.py --only NUMBER --keep FOLDER

Each file is probed and loaded in a process that it may kill, and set against the seconds that
ffmpeg decodes. What may come: as many seconds (equal), flags, or an `Audio…` error of one line that
names the file (error). What may not is listed with its number: fewer seconds than ffmpeg decodes
(SILENT LOSS), as many with silence for sound (silenced), more (longer), a header's duration that
isn't the decoder's (probe), a hang, a crash, or memory beyond what any such file is worth. Seed,
kinds and number make the same file again where ffmpeg is the same. Exit code 1 where anything is
lost, hangs, dies or swells.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from odd_audio import damage, files
from odd_audio.damage import Bases, Case
from odd_audio.files import Sound
from odd_audio.reader import LIMIT, Outcome, Worker

SLACK = 0.1  # seconds that count as the same length
QUIET = 0.3  # seconds less that may be audible
FINE = ("equal", "flagged", "error")
TOLD = ("longer", "probe", "silenced", "ffmpeg hung")
BAD = ("SILENT LOSS", "hang", "memory", "crash")
CLASSES = (*FINE, *TOLD, *BAD)


@dataclass(frozen=True, slots=True)
class Result:
    """``theirs``: by ffmpeg; None where it hangs."""

    case: Case
    outcome: Outcome
    theirs: Sound | None

    @property
    def verdict(self) -> str:
        ours = self.outcome.sound
        if self.outcome.fault:
            return self.outcome.fault
        if self.outcome.flags:
            return "flagged"
        if self.theirs is None:
            return "ffmpeg hung"
        if min(ours.seconds, files.LONGEST) < self.theirs.seconds - SLACK:
            return "SILENT LOSS"
        if ours.audible < self.theirs.audible - QUIET:
            return "silenced"
        if min(ours.seconds, files.LONGEST) > self.theirs.seconds + SLACK:
            return "longer"
        return "equal" if abs(self.outcome.probed - ours.seconds) <= SLACK else "probe"

    def __str__(self) -> str:
        theirs = "hangs" if self.theirs is None else _in_words(self.theirs)
        found = self.outcome
        return (
            f"{self.case.number:6} {self.verdict:11} {self.case} | ffmpeg {theirs}, "
            f"load {_in_words(found.sound)}, probe {found.probed:.2f} | {found.decoder} | "
            f"{' '.join([*found.flags, found.detail])}"
        )


def _in_words(sound: Sound) -> str:
    return f"{sound.seconds:.2f} ({sound.audible:.1f} audible)"


class Fuzzer:
    def __init__(self, seed: int, bases: Bases, folder: Path) -> None:
        self._seed = seed
        self._bases = bases
        self._folder = folder
        self._own = threading.local()

    def result(self, number: int) -> Result:
        case = damage.make_case(self._seed, number, self._bases)
        path = self._folder / f"{number:06}{case.suffix}"
        path.write_bytes(case.data)
        if not hasattr(self._own, "worker"):
            self._own.worker = Worker(self._folder / f"{threading.get_ident()}.log")
        outcome = self._own.worker.read(path)
        try:
            theirs = files.measured(files.decode(path, LIMIT))
        except subprocess.TimeoutExpired:
            return Result(case, outcome, None)
        finally:
            path.unlink()
        return Result(case, outcome, theirs)


def print_table(title: str, counts: dict[str, Counter[str]], console: Console) -> None:
    table = Table(title, *CLASSES, box=None, padding=(0, 1))
    total = sum(counts.values(), Counter[str]())
    for name, classes in [*sorted(counts.items()), ("all", total)]:
        table.add_row(name, *(str(classes[one] or "") for one in CLASSES))
    console.print(table)


def keep(case: Case, seed: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{seed}-{case.number:06}{case.suffix}").write_bytes(case.data)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first file's number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default="", help="part of the names of kinds, say wav/ or aac")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this file, whatever comes")
    parser.add_argument("--keep", type=Path, help="a folder for the files that are listed")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    numbers = range(asked.first, asked.first + asked.count)
    if asked.only is not None:
        numbers = range(asked.only, asked.only + 1)
    kinds = [kind for kind in files.KINDS if asked.kinds in kind.name]
    by_kind: dict[str, Counter[str]] = {}
    by_mutation: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bases = damage.make_bases(kinds, Path(folder))
        if not bases:
            parser.error(f"--kinds {asked.kinds}: ffmpeg writes none here")
        fuzzer = Fuzzer(asked.seed, bases, Path(folder))
        with ThreadPoolExecutor(asked.jobs) as pool:
            for result in pool.map(fuzzer.result, numbers):
                by_kind.setdefault(result.case.kind, Counter())[result.verdict] += 1
                by_mutation.setdefault(result.case.mutation, Counter())[result.verdict] += 1
                if result.verdict not in FINE or asked.only is not None:
                    print(result, flush=True)
                    if asked.keep:
                        keep(result.case, asked.seed, asked.keep)
    console = Console(width=None if sys.stdout.isatty() else 160)
    print_table("kind", by_kind, console)
    print_table("mutation", by_mutation, console)
    return 1 if any(classes[one] for classes in by_kind.values() for one in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
