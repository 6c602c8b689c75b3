#!/usr/bin/env python
"""Memory of a long run as utterances come, and its device's share of the time.

    scripts/bench/memory.py [--stage asr] [--engine whisper] [--model FOLDER] [--manifest FILE]
        [--rounds N] [OPTION...]
    scripts/bench/memory.py --stage stream --engine faster-whisper [--minutes 60] [OPTION...]

Further options go to the stage. Without a model the Whispers take tiny.en, without a manifest
spoken digits serve. One worker, whose resident memory is read whenever results come; the target is
that it grows by less than 5 % from the median around utterance 200 to that around 2,000.

With ``--rounds 10``, the peaks of each 1,000 utterances of one run of 10,000, of the main process
and of its worker, and the peak of that run beside that of a run of 1,000: less than 5 %, too.

With ``--stage stream``, an hour of speech with pauses at ``--pace max``: the medians around its
minute 5 and over its last two minutes; less than 5 %, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
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
ROUND = 1000  # utterances
EARLY_MINUTE, AROUND_MINUTE = 5, 1
SENTENCES = 6.5  # a minute, with their pauses


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--stage", default="asr")
    parser.add_argument("--engine", default="whisper")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--manifest", type=Path, default=DIGITS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--minutes", type=int, default=60, help="of a stream")
    options, more = parser.parse_known_args()
    options.model = options.model or MODELS.get(options.engine)
    if options.stage == "asr" and not options.model:
        parser.error(f"--model: none is known for {options.engine}")
    benchlib.heading()
    with tempfile.TemporaryDirectory() as folder:
        if options.stage == "stream":
            measure_stream(options, more, Path(folder))
        elif options.rounds:
            measure_rounds(options, more, Path(folder))
        else:
            measure(options, more, Path(folder))


def command(
    options: argparse.Namespace, more: list[str], folder: Path, count: int
) -> tuple[list[str], Path, Path]:
    """A run over so many utterances, its output and its summary."""
    many = benchlib.write_cycled(folder / f"{count}.jsonl", options.manifest, count)
    summary = folder / f"{count}-summary.json"
    out = folder / f"{count}-output.jsonl"
    place = ["-o", out]
    if options.stage == "embed":
        place = ["--output-dir", folder / f"{count}-output"]
        out = folder / f"{count}-output" / "index.jsonl"
    model = ["--model", options.model] if options.model else []
    run = benchlib.speechkit(
        *(options.stage, many, "--engine", options.engine, *model, *place),
        *("--workers", 1, "--summary", summary, *more),
    )
    return run, out, summary


def measure(options: argparse.Namespace, more: list[str], folder: Path) -> None:
    run, out, summary = command(options, more, folder, LATE + AROUND)
    grown = benchlib.growth(run, out, EARLY, LATE, AROUND)
    device = json.loads(summary.read_text())["device"] or {"name": "the engine", "share": 1.0}
    print(
        f"{options.engine}: {grown.text(EARLY, LATE)}; {device['name']} at work "
        f"{100 * device['share']:.0f} % of the time"
    )


def measure_rounds(options: argparse.Namespace, more: list[str], folder: Path) -> None:
    run, out, few = command(options, more, folder, ROUND)
    list(benchlib.memory_readings(run, out))
    run, out, many = command(options, more, folder, ROUND * options.rounds)
    peaks = [(0, 0)] * options.rounds
    for reading in benchlib.memory_readings(run, out):
        number = min((reading.done - 1) // ROUND, options.rounds - 1)
        main, worker = peaks[number]
        peaks[number] = max(main, reading.main), max(worker, reading.worker)
    for number, (main, worker) in enumerate(peaks, 1):
        print(f"round {number}: main process {main / 1e6:.0f} MB, worker {worker / 1e6:.0f} MB")
    whole = [json.loads(summary.read_text())["peak_memory"] for summary in (few, many)]
    for name, (first, last) in {
        "main process": (peaks[0][0], peaks[-1][0]),
        "worker": (peaks[0][1], peaks[-1][1]),
        "whole run": whole,
    }.items():
        print(f"{name}: {first / 1e6:.1f} MB, then {last / 1e6:.1f} MB: {last / first - 1:+.1%}")


def measure_stream(options: argparse.Namespace, more: list[str], folder: Path) -> None:
    import psutil
    import recordings

    sentences = recordings.read(benchlib.DATA / "librispeech")
    each = round(options.minutes * SENTENCES)
    (recording,) = benchlib.read_manifest(
        recordings.joined(sentences, folder, count=1, each=each, seed=7)
    )
    model = ["--model", options.model] if options.model else []
    engine = ("--engine", options.engine, *model)
    command = ("stream", recording["audio_filepath"], *engine, "--pace", "max", *more)
    readings: list[tuple[float, float]] = []  # minutes of audio, bytes
    with subprocess.Popen(benchlib.speechkit(*command), stdout=subprocess.PIPE) as running:
        process = psutil.Process(running.pid)
        assert running.stdout
        for line in running.stdout:
            event = json.loads(line)
            if event["type"] == "final":
                readings.append((event["end"] / 60, process.memory_full_info().pss))
    end = recording["duration"] / 60
    early, late = (
        statistics.median(size for at, size in readings if abs(at - minute) <= AROUND_MINUTE)
        for minute in (EARLY_MINUTE, end - AROUND_MINUTE)
    )
    print(
        f"stream: {early / 1e6:.0f} MB after {EARLY_MINUTE} minutes of audio, {late / 1e6:.0f} MB "
        f"after {end:.0f}: {late / early - 1:+.1%}"
    )


if __name__ == "__main__":
    main()
