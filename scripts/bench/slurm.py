"""What a job array adds: 8 splits on a SLURM node of 2 CPUs beside the same work unsplit on 2
workers, and how long a task takes before it computes.

    scripts/bench/slurm.py [--data FOLDER] [--copies 4] [--repeats 3]

Starts a cluster of one node (scripts/local_slurm.sh), and stops it again. Needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEECHKIT = str(Path(sys.executable).with_name("speechkit"))
LOCAL_SLURM = str(ROOT / "scripts" / "local_slurm.sh")
TARGET = 1.25  # times the unsplit run, at most
CPUS, SPLITS = 2, 8
ENGINE = ("--engine", "pocketsphinx")
MOST_SECONDS = 1800


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "examples" / "speech")
    parser.add_argument("--copies", type=int, default=4, help="how often each file is transcribed")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
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
        alone = ["asr", str(many), *ENGINE, "-o", str(whole), "--workers", str(CPUS)]
        times["unsplit"].append(timed(alone))
        arguments = ["--input", str(many), "--splits", str(SPLITS), "-o", str(merged)]
        arguments += ["--output-dir", str(folder / f"output-{turn}"), "--sbatch=--cpus-per-task=1"]
        arguments += ["--splits-dir", str(folder / "splits")]
        began = time.perf_counter()
        timed(["slurm", "submit", "asr", *arguments, "--", *ENGINE])
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
    timed(["manifest", str(options.data), "-o", str(listed)])
    records = [json.loads(line) for line in listed.read_text().splitlines()]
    usable = [one for one in records if one["sample_rate"] == 16000] * options.copies
    lines = (json.dumps({**record, "id": number}) for number, record in enumerate(usable))
    many.write_text("".join(f"{line}\n" for line in lines))
    return many


def starts(repeats: int, folder: Path) -> dict[str, float]:
    """Seconds of a task with a single utterance of a tenth of a second, and of its parts."""
    import numpy as np
    import soundfile

    soundfile.write(folder / "blip.wav", np.zeros(1600, dtype="float32"), 16000)
    one = folder / "one.jsonl"
    one.write_text(json.dumps({"audio_filepath": str(folder / "blip.wav"), "duration": 0.1}) + "\n")
    splits = str(folder / "one")
    timed(["split-manifest", "--input", str(one), "--splits", "1", "--output-dir", splits])
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
            timed([part.format(folder / f"start-{number}-{turn}") for part in command])
            for turn in range(repeats)
        )
    return found


def timed(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run([SPEECHKIT, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"speechkit {' '.join(arguments)}: {done.stderr}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
