"""How long the light commands take to start, beside `python -c "import typer, rich"`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 15
TARGET = 2.0  # times the bare import


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.jsonl")
        data.write_text('{"audio_filepath": "/a.wav", "duration": 1.0}\n')
        speechkit = str(Path(sys.executable).with_name("speechkit"))
        split = [speechkit, "split-manifest", "--input", str(data), "--splits", "2"]
        commands = {
            'python -c "import typer, rich"': [sys.executable, "-c", "import typer, rich"],
            "speechkit --help": [speechkit, "--help"],
            "speechkit split-manifest": [*split, "--output-dir", folder],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(REPEATS):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times[name].append(time.perf_counter() - started)
    base = statistics.median(next(iter(times.values())))
    print(f"median of {REPEATS} interleaved runs; target: at most {TARGET:g} times the first line")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:34} {median * 1000:6.0f} ms  {median / base:5.2f} x")


if __name__ == "__main__":
    main()
