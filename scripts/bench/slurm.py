"""What a job array adds: 8 splits on a SLURM node of 2 CPUs beside the same work unsplit on 2
workers, and how long a task takes before it computes.

    scripts/bench/slurm.py [--data FOLDER] [--copies 4] [--repeats 3]

Starts a cluster of one node (scripts/local_slurm.sh), and stops it again. Needs root.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import benchlib

LOCAL_SLURM = str(benchlib.ROOT / "scripts" / "local_slurm.sh")
TARGET = 1.25  # times the unsplit run, at most
CPUS, SPLITS = 2, 8
ENGINE = ("--engine", "pocketsphinx")
MOST_SECONDS = 1800


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.EXAMPLES)
    parser.add_argument("--copies", type=int, default=4, help="how often each file is transcribed")
    options = parser.parse_args()
    benchlib.heading("pocketsphinx")
    with tempfile.TemporaryDirectory() as folder:
        cluster = f"{folder}/cluster"
        os.environ["CPUS"] = str(CPUS)
        subprocess.run([LOCAL_SLURM, "start", cluster], check=True)
        os.environ["SLURM_CONF"] = f"{cluster}/slurm.conf"
        try:
            measure(options, Path(folder))
        finally:
            subprocess.run([LOCAL_SLURM, "stop", cluster], check=True)


def measure(options: argparse.Namespace, folder: Path) -> None:
    many = manifest(options, folder)
    print(f"start of a task, medians of {options.repeats}:")
    for name, seconds in starts(options.repeats, folder).items():
        print(f"  {name:44} {seconds:5.2f} s")
    times: dict[str, list[float]] = {"unsplit": [], "array": []}
    for turn in range(options.repeats):
        whole, merged = folder / f"whole-{turn}.jsonl", folder / f"merged-{turn}.jsonl"
        times["unsplit"].append(run("asr", many, *ENGINE, "-o", whole, "--workers", CPUS))
        arguments = ["--input", many, "--splits", SPLITS, "-o", merged]
        arguments += ["--output-dir", folder / f"output-{turn}", "--sbatch=--cpus-per-task=1"]
        arguments += ["--splits-dir", folder / "splits"]
        began = time.perf_counter()
        run("slurm", "submit", "asr", *arguments, "--", *ENGINE)
        while not merged.exists():
            if time.perf_counter() - began > MOST_SECONDS:
                sys.exit(f"no merged result after {MOST_SECONDS} s")
            time.sleep(0.05)
        times["array"].append(time.perf_counter() - began)
        if merged.read_bytes() != whole.read_bytes():
            sys.exit("the merged result is another one than the unsplit")
    unsplit, array = (statistics.median(times[name]) for name in ("unsplit", "array"))
    print(f"{SPLITS} splits on {CPUS} CPUs, medians of {options.repeats}:")
    print(f"  unsplit, {CPUS} workers {unsplit:6.1f} s")
    print(f"  submitted to merged {array:6.1f} s, {array / unsplit:.2f} of it (at most {TARGET})")


def manifest(options: argparse.Namespace, folder: Path) -> Path:
    listed, many = folder / "listed.jsonl", folder / "many.jsonl"
    run("manifest", options.data, "-o", listed)
    records = benchlib.read_manifest(listed)
    usable = [one for one in records if one["sample_rate"] == 16000] * options.copies
    lines = ({**record, "id": number} for number, record in enumerate(usable))
    return benchlib.write_manifest(many, lines)


def starts(repeats: int, folder: Path) -> dict[str, float]:
    """Seconds of a task with a single utterance of a tenth of a second, and of its parts."""
    import numpy as np
    import soundfile

    soundfile.write(folder / "blip.wav", np.zeros(1600, dtype="float32"), 16000)
    blip = {"audio_filepath": str(folder / "blip.wav"), "duration": 0.1}
    one = benchlib.write_manifest(folder / "one.jsonl", [blip])
    splits = str(folder / "one")
    run("split-manifest", "--input", one, "--splits", 1, "--output-dir", splits)
    commands = {
        "speechkit slurm task (it alone)": ["slurm", "task", "--help"],
        "the stage: speechkit asr": ["asr", str(one), *ENGINE, "-o", "{}.jsonl", "--workers", "1"],
        "both: what a task of an array costs": [
            *("slurm", "task", "asr", "--split", "0", "--splits-dir", splits),
            *("--output-dir", "{}", "--", *ENGINE, "--workers", "1"),
        ],
    }
    found = {}
    for number, (name, command) in enumerate(commands.items()):
        found[name] = statistics.median(
            run(*(part.format(folder / f"start-{number}-{turn}") for part in command))
            for turn in range(repeats)
        )
    return found


def run(*arguments: object) -> float:
    """Wall seconds of a command of speechkit's."""
    return benchlib.timed(benchlib.speechkit(*arguments)).wall


if __name__ == "__main__":
    main()
