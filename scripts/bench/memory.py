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
import tempfile
from pathlib import Path

import benchlib

MODELS = {
    "whisper": benchlib.MODELS / "tiny.en-hf",
    "faster-whisper": benchlib.MODELS / "tiny.en",
}
DIGITS = benchlib.TINY_MODELS / "nemo-held-out.jsonl"
EARLY, LATE = 200, 2000  # utterances
AROUND = 100  # utterances on either side whose readings count


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--engine", default="whisper")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--manifest", type=Path, default=DIGITS)
    options, more = parser.parse_known_args()
    options.model = options.model or MODELS.get(options.engine)
    if not options.model:
        parser.error(f"--model: none is known for {options.engine}")
    benchlib.heading()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, more, Path(folder))


def measure(options: argparse.Namespace, more: list[str], folder: Path) -> None:
    out, summary = folder / "out.jsonl", folder / "summary.json"
    many = benchlib.write_cycled(folder / "many.jsonl", options.manifest, LATE + AROUND)
    command = ("asr", many, "--engine", options.engine, "--model", options.model, "-o", out)
    run = benchlib.speechkit(*command, "--workers", 1, "--summary", summary, *more)
    grown = benchlib.growth(run, out, EARLY, LATE, AROUND)
    device = json.loads(summary.read_text())["device"]
    print(
        f"{options.engine}: {grown.text(EARLY, LATE)}; {device['name']} at work "
        f"{100 * device['share']:.0f} % of the time"
    )


if __name__ == "__main__":
    main()
