"""`asr --engine pocketsphinx` on one worker and on all granted CPUs, beside the bare decoder."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import benchlib

from speechkit.io.hardware import granted_cpus

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
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.EXAMPLES)
    parser.add_argument("--copies", type=int, default=3, help="how often each file is transcribed")
    options = parser.parse_args()
    benchlib.heading("pocketsphinx")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    data, many = folder / "data.jsonl", folder / "many.jsonl"
    benchlib.timed(benchlib.speechkit("manifest", options.data, "-o", data))
    usable = [
        record
        for record in benchlib.read_manifest(data)
        if record["sample_rate"] == 16000 and record["channels"] == 1
    ] * options.copies
    benchlib.write_manifest(many, usable)
    audio = sum(record["duration"] for record in usable)
    cpus = granted_cpus()

    def run(workers: int) -> list[list[str]]:
        arguments = ("asr", many, "--engine", "pocketsphinx", "-o", folder / "out.jsonl")
        return [benchlib.speechkit(*arguments, "--restart", "--workers", workers)]

    commands = {
        "bare decoder, one process": [[sys.executable, "-c", BARE, str(many)]],
        "speechkit asr --workers 1": run(1),
        f"speechkit asr --workers {cpus}": run(cpus),
    }
    medians = benchlib.wall_medians(commands, options.repeats)
    one = medians["speechkit asr --workers 1"]
    print(f"{len(usable)} utterances, {audio:.0f} s of audio, medians of {options.repeats} runs;")
    print(f"target on two CPUs: at least {TARGET} times one worker")
    for name, median in medians.items():
        print(f"{name:28} {median:6.1f} s  {audio / median:6.1f} x real time  {one / median:5.2f}")


if __name__ == "__main__":
    main()
