"""How long the light commands take to start, beside `python -c "import typer, rich"`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import benchlib

TARGET = 2.0  # times the bare import


def main() -> None:
    options = benchlib.parser(__doc__, repeats=15).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.jsonl")
        data.write_text('{"audio_filepath": "/a.wav", "duration": 1.0}\n')
        split = ("split-manifest", "--input", data, "--splits", 2, "--output-dir", folder)
        commands = {
            'python -c "import typer, rich"': [[sys.executable, "-c", "import typer, rich"]],
            "speechkit --help": [benchlib.speechkit("--help")],
            "speechkit split-manifest": [benchlib.speechkit(*split)],
        }
        medians = benchlib.wall_medians(commands, options.repeats)
    base = next(iter(medians.values()))
    benchlib.heading("typer", "rich")
    print(f"median of {options.repeats} interleaved runs; ", end="")
    print(f"target: at most {TARGET:g} times the first line")
    for name, median in medians.items():
        print(f"{name:34} {median * 1000:6.0f} ms  {median / base:5.2f} x")


if __name__ == "__main__":
    main()
