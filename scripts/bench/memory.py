#!/usr/bin/env python
"""Memory of a long `asr` run after 200 and after 2,000 utterances, and its device's share of time.

    scripts/bench/memory.py [--engine whisper] [--model FOLDER] [--manifest FILE] [OPTION...]

Further options go to `speechkit asr`. Without a model the Whispers take tiny.en, without a manifest
spoken digits serve. One worker, whose resident memory is read whenever results come; the target is
that it grows by less than 5 % from the early to the late median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT / ".cache" / "models"
MODELS = {"whisper": REAL / "tiny.en-hf", "faster-whisper": REAL / "tiny.en"}
DIGITS = ROOT / ".cache" / "tiny-models" / "nemo-held-out.jsonl"
EARLY, LATE = 200, 2000  # utterances
AROUND = 100  # utterances on either side whose readings count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", default="whisper")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--manifest", type=Path, default=DIGITS)
    options, more = parser.parse_known_args()
    options.model = options.model or MODELS.get(options.engine)
    if not options.model:
        parser.error(f"--model: none is known for {options.engine}")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, more, Path(folder))


def measure(options: argparse.Namespace, more: list[str], folder: Path) -> None:
    lines = options.manifest.read_text().splitlines(keepends=True)
    many, out, summary = folder / "many.jsonl", folder / "out.jsonl", folder / "summary.json"
    many.write_text("".join(lines[index % len(lines)] for index in range(LATE + AROUND)))
    command = ["asr", many, "--engine", options.engine, "--model", options.model, "-o", out]
    command += ["--workers", 1, "--summary", summary, *more]
    speechkit = Path(sys.executable).with_name("speechkit")
    running = subprocess.Popen([str(speechkit), *map(str, command)])
    readings: list[tuple[int, int]] = []
    while running.poll() is None:
        time.sleep(0.05)
        part = folder / "out.jsonl.part"
        done = part.read_bytes().count(b"\n") - 1 if part.exists() else 0
        memory = [process.memory_info().rss for process in psutil.Process(running.pid).children()]
        if memory and done > 0:
            readings.append((done, max(memory)))
    if running.returncode:
        sys.exit(running.returncode)
    early, late = (
        statistics.median(rss for done, rss in readings if abs(done - point) <= AROUND)
        for point in (EARLY, LATE)
    )
    device = json.loads(summary.read_text())["device"]
    print(
        f"{options.engine}: {early / 1e6:.0f} MB after {EARLY} utterances, {late / 1e6:.0f} MB "
        f"after {LATE}: {100 * (late / early - 1):+.1f} %; {device['name']} at work "
        f"{100 * device['share']:.0f} % of the time"
    )


if __name__ == "__main__":
    main()
