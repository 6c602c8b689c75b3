#!/usr/bin/env python3
"""Runs tests and benchmarks on a GPU machine without a network, each within its time.

    python3 scripts/gpu/run.py RESULTS JOB... [--limit SECONDS]

Unpacks first what scripts/gpu/pack.py has packed and has arrived in .gpu. Jobs: tests, or a step of
scripts/bench/gpu.py with its model (parts:turbo, pipeline:large-v3, sweep:turbo, real, startup,
s2s, nemo); JOB@SECONDS sets another limit than its own, JOB+N another count of windows or
utterances. In RESULTS: log.txt, rows.jsonl and table.txt, written as it goes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "bench"), str(Path(__file__).parent)]
from gpu_steps.rows import line  # noqa: E402
from unpack import ROOT, SITE, unpack  # noqa: E402

LIMITS = {
    "tests": 170,
    "parts": 75,
    "pipeline": 170,
    "sweep": 110,
    "real": 150,
    "startup": 75,
    "s2s": 110,
    "nemo": 150,
}
SHOWN = 12  # lines of a job that succeeds without rows, or of one that fails


def command(name: str, model: str, count: str, rows: Path) -> list[str]:
    if name == "tests":
        return [
            *(sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", "6", "--dist", "loadfile"),
            *("-p", "no:cacheprovider", "--tb=short", "--durations=12", "tests/gpu"),
        ]
    made = [sys.executable, "scripts/bench/gpu.py", name, "--rows", str(rows)]
    made += ["--model", model] if model else []
    return made + (["--count", count] if count else [])


def environment() -> dict[str, str]:
    paths = [SITE, ROOT / "src", ROOT / "scripts", ROOT / "scripts" / "bench"]
    joined = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    quiet = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **quiet, "PYTHONPATH": joined.rstrip(os.pathsep)}


def run(job: str, results: Path, left: float, extra: list[str]) -> None:
    name, model, count, limit = re.fullmatch(
        r"(\w+)(?::([\w-]+))?(?:\+(\d+))?(?:@(\d+))?", job
    ).groups()
    seconds = min(float(limit or LIMITS[name]), left)
    rows, log = results / "rows.jsonl", results / "log.txt"
    before = len(rows.read_text().splitlines()) if rows.exists() else 0
    began = time.monotonic()
    with log.open("a") as out:
        out.write(f"==== {job}\n")
        out.flush()
        start = out.tell()
        process = subprocess.Popen(
            command(name, model, count, rows) + extra * (name != "tests"),
            **{"stdout": out, "stderr": out, "cwd": ROOT, "env": environment()},
            start_new_session=True,
        )
        try:
            said = f"exit {process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            said = f"stopped after its {seconds:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    print(f"== {job}: {said}, {time.monotonic() - began:.1f} s", flush=True)
    found = rows.read_text().splitlines()[before:] if rows.exists() else []
    for row in found:
        print(line(json.loads(row)))
    if not found or said != "exit 0":
        with log.open() as file:
            file.seek(start)
            print("\n".join(file.read().splitlines()[-SHOWN * (1 if said == "exit 0" else 3) :]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("jobs", nargs="*")
    parser.add_argument("--limit", type=float, default=560.0, help="seconds of all jobs together")
    options, extra = parser.parse_known_args()
    end = time.monotonic() + options.limit
    began = time.monotonic()
    print(f"unpacked: {', '.join(unpack())}, {time.monotonic() - began:.1f} s", flush=True)
    for job in options.jobs:
        left = end - time.monotonic()
        if left < 10:
            print(f"== {job}: no time left")
            continue
        run(job, options.results, left, extra)
    rows = options.results / "rows.jsonl"
    if rows.exists():
        table = "\n".join(line(json.loads(row)) for row in rows.read_text().splitlines())
        (options.results / "table.txt").write_text(table + "\n")


if __name__ == "__main__":
    main()
