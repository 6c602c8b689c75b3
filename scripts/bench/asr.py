"""`asr --engine pocketsphinx` on one worker and on all granted CPUs, beside the bare decoder."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speechkit.io.machine import granted_cpus

ROOT = Path(__file__).resolve().parents[2]
TARGET = 1.8  # times one worker, on two CPUs

BARE = """
import json, sys
import numpy as np, pocketsphinx, soundfile
decoder = pocketsphinx.Decoder(loglevel="FATAL", cmn="batch")
for line in open(sys.argv[1]):
    path = json.loads(line)["audio_filepath"]
    samples, rate = soundfile.read(path, dtype="int16")
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "examples" / "speech")
    parser.add_argument("--copies", type=int, default=3, help="how often each file is transcribed")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    speechkit = Path(sys.executable).with_name("speechkit")
    data, many = folder / "data.jsonl", folder / "many.jsonl"
    subprocess.run([speechkit, "manifest", options.data, "-o", data], check=True)
    records = [json.loads(line) for line in data.read_text().splitlines()]
    usable = [record for record in records if record["sample_rate"] == 16000]
    usable = [record for record in usable if record["channels"] == 1] * options.copies
    many.write_text("".join(json.dumps(record) + "\n" for record in usable))
    audio = sum(record["duration"] for record in usable)
    cpus = granted_cpus()

    def run(workers: int) -> list[str]:
        arguments = ["asr", many, "--engine", "pocketsphinx", "-o", folder / "out.jsonl"]
        return [str(speechkit), *map(str, [*arguments, "--restart", "--workers", workers])]

    commands = {
        "bare decoder, one process": [sys.executable, "-c", BARE, str(many)],
        "speechkit asr --workers 1": run(1),
        f"speechkit asr --workers {cpus}": run(cpus),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.repeats):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - started)
    one = statistics.median(times["speechkit asr --workers 1"])
    print(f"{len(usable)} utterances, {audio:.0f} s of audio, medians of {options.repeats} runs;")
    print(f"target on two CPUs: at least {TARGET} times one worker")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:28} {median:6.1f} s  {audio / median:6.1f} x real time  {one / median:5.2f}")


if __name__ == "__main__":
    main()
