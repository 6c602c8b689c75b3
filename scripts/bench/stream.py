#!/usr/bin/env python
"""`speechkit stream` beside whisper_streaming's agreement policy over faster-whisper.

    scripts/bench/stream.py [--model tiny.en] [--sets speech short pauses] [--minutes 2]
        [--repeats 3] [--threads 2] [--clock wall] [--only NAME...] [OPTION...]
    scripts/bench/stream.py --model base --sets speech --minutes 10
    scripts/bench/stream.py --only speechkit --real

Word error rate, and the latency of each word, from its end in the audio to its final. Speech:
sentences of LibriSpeech after pauses of 0.3 to 2 s; short: a minute of other sentences; pauses:
sentences after 5 to 20 s of silence. The ends are those that `asr` with base finds in each sentence
alone, and words heard right count. First text: from the beginning of the first word.

Each competitor is a program of its own, in turns, with a clock that is simulated: the audio comes
at its pace, a step begins when its audio is there and the step before is over, and takes as long as
its computing. With ``--clock cpu`` one thread computes, and a step takes its CPU time divided by
``--threads``: other programs lengthen that less. With ``--real`` speechkit is the command, at
``--pace 1``. Further options are those of `speechkit stream`, such as ``--step 1``.

Targets: p50 and p90 of the latency at most 0.7 of the best agreement's; WER at most a point above
that of `asr`; the median in minute 10 at most 0.5 s above that in minute 1. For memory see
memory.py --stage stream. tests/faults/test_stream_kill.py kills streams with -9 (with
SPEECHKIT_KILLS=10 so often) and compares the finals.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import benchlib
import numpy as np
import recordings
import simulated_stream
import soundfile
import word_times
from benchlib import MODELS
from simulated_stream import OURS, PEERS

LIMIT = 0.7  # of the latencies of the best agreement
ELSEWHERE = 2.0  # seconds between the times of a word, beyond which it is another of the same text
WARM_UP = 3.0  # seconds of audio that a model hears before
MINUTE = 60.0
USUAL = [*PEERS, "speechkit"]


# ---- Who is measured: each is run as `stream.py --run NAME WAV OUTPUT MODEL THREADS OPTIONS` ----


def run_competitor(
    name: str, wav: str, output: str, model: str, threads: str, options: str
) -> None:
    """``threads``: those of a clock by CPU time, or 0 for one by wall time."""

    def timer() -> float:
        return time.process_time() / int(threads) if int(threads) else time.perf_counter()

    samples, _ = soundfile.read(wav, dtype="float32")
    listen = simulated_stream.listeners(name, model, json.loads(options))
    simulated_stream.simulate(listen, samples[: round(WARM_UP * recordings.RATE)], timer)
    found = simulated_stream.simulate(listen, samples, timer)
    Path(output).write_text(json.dumps(found))


def simulated(name: str, wav: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    out = folder / "heard.json"
    further = json.dumps(typed(options.stream) if name in OURS else {})
    threads = options.threads if options.clock == "cpu" else 0
    given = ("--run", name, wav, out, options.model, threads, further)
    benchlib.timed([sys.executable, __file__, *map(str, given)])
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def typed(options: Sequence[str]) -> dict[str, Any]:
    """``--step 0.5`` and the like, as `StreamOptions` takes them."""
    from speechkit.serving.stream.options import StreamOptions

    kinds = {field.name: type(field.default) for field in dataclasses.fields(StreamOptions)}
    names = [option.removeprefix("--").replace("-", "_") for option in options[::2]]
    return {name: kinds[name](value) for name, value in zip(names, options[1::2], strict=True)}


def real(name: str, wav: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What `simulated` finds, of the command."""
    summary = folder / "summary.json"
    own = [part for option, value in OURS[name].items() for part in (f"--{option}", value)]
    decoding = ("--model", options.model, "--language", "en", "--pace", 1, "--summary", summary)
    command = benchlib.speechkit("stream", wav, *decoding, *own, *options.stream)
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    events = [json.loads(line) for line in lines.splitlines()]
    said = [event for event in events if event["type"] in {"partial", "final"}]
    words = [
        word | {"emitted": final["emitted"]}
        for final in said
        if final["type"] == "final"
        for word in final["words"]
    ]
    share = json.loads(summary.read_text())["real_time_factor"]
    return {"words": words, "shown": said[0]["emitted"], "share": share}


# ---- The recordings ----


def speech(options: argparse.Namespace, folder: Path) -> Path:
    return joined("librispeech", (0.3, 2.0), options.minutes, options, folder)


def short(options: argparse.Namespace, folder: Path) -> Path:
    return joined("asr", (0.3, 2.0), 1.0, options, folder)


def pauses(options: argparse.Namespace, folder: Path) -> Path:
    return joined("librispeech", (5.0, 20.0), options.minutes, options, folder)


SETS = {"speech": speech, "short": short, "pauses": pauses}


def joined(
    name: str,
    between: tuple[float, float],
    minutes: float,
    options: argparse.Namespace,
    folder: Path,
) -> Path:
    sentences = recordings.read(options.data / name)
    mean = statistics.mean(one.seconds for one in sentences) + statistics.mean(between)
    each = max(1, round(minutes * MINUTE / mean))
    return recordings.joined(sentences, folder, count=1, each=each, seed=7, pauses=between)


def transcribed(manifest: Path, model: Path, *options: str) -> list[dict[str, Any]]:
    out = manifest.with_suffix(".asr.jsonl")
    command = ("asr", manifest, "--model", model, "--language", "en", *options, "-o", out)
    benchlib.timed(benchlib.speechkit(*command))
    return benchlib.read_manifest(out)


# ---- The measurement ----


class Figures(NamedTuple):
    """Of a run: the latencies' quantiles, and medians in the first and the last minute, and how
    long after the first word's beginning text was shown, in seconds; the others in per cent."""

    p50: float
    p90: float
    most: float
    first: float
    last: float
    shown: float
    wer: float
    share: float


def figures(found: Mapping[str, Any], truth: str, spoken: Sequence[word_times.Spoken]) -> Figures:
    latencies = [
        (true.end, said["emitted"] - true.end)
        for _, true, said in word_times.pairs(spoken, found["words"])
        if abs(said["end"] - true.end) < ELSEWHERE
    ]
    end = spoken[-1].end
    return Figures(
        *(float(np.quantile([late for _, late in latencies], part)) for part in (0.5, 0.9, 1.0)),
        statistics.median(late for at, late in latencies if at < MINUTE),
        statistics.median(late for at, late in latencies if at > end - MINUTE),
        found["shown"] - spoken[0].start,
        error_rate(truth, " ".join(word["word"] for word in found["words"])),
        100 * found["share"],
    )


def error_rate(truth: str, heard: str) -> float:
    return 100 * recordings.errors([truth], [heard]).rate


def compare(name: str, options: argparse.Namespace, folder: Path) -> None:
    manifest = SETS[name](options, folder)
    (recording,) = benchlib.read_manifest(manifest)
    sentences = benchlib.write_manifest(folder / "sentences.jsonl", recording["sentences"])
    spoken = [
        word_times.Spoken(word["word"], word["start"], word["end"])
        for sentence in transcribed(sentences, MODELS / "base", "--words")
        for segment in sentence["segments"]
        for word in segment["words"]
    ]
    (offline,) = transcribed(manifest, options.model)
    wav, truth = Path(recording["audio_filepath"]), recording["text"]
    print(
        f"\n{name}: {recording['duration']:.0f} s, {len(truth.split())} words; WER of asr "
        f"{error_rate(truth, offline['pred_text']):.1f} %",
        flush=True,
    )
    runs: dict[str, list[Figures]] = {one: [] for one in options.only}
    for _ in range(options.repeats):
        for one, done in runs.items():
            hear = real if options.real and one in OURS else simulated
            done.append(figures(hear(one, wav, options, folder), truth, spoken))
    report(
        {
            one: Figures(*map(statistics.median, zip(*done, strict=True)))
            for one, done in runs.items()
        }
    )


def report(medians: Mapping[str, Figures]) -> None:
    print(
        f"{'':22} {'p50':>6} {'p90':>6} {'max':>6}   {'first min':>9} {'last min':>8}   "
        f"{'first text':>10} {'WER':>7} {'real time':>10}"
    )
    for name, one in medians.items():
        print(
            f"{name:22} {one.p50:6.2f} {one.p90:6.2f} {one.most:6.2f} s {one.first:9.2f} "
            f"{one.last:8.2f} s {one.shown:10.2f} s {one.wer:5.1f} % {one.share:8.0f} %"
        )
    peers = [one for name, one in medians.items() if name in PEERS]
    for name in OURS.keys() & medians.keys() if peers else ():
        p50 = medians[name].p50 / min(one.p50 for one in peers)
        p90 = medians[name].p90 / min(one.p90 for one in peers)
        print(f"{name}: p50 {p50:.2f}, p90 {p90:.2f} of the best agreement's (target {LIMIT})")


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.DATA, peers=True)
    parser.add_argument("--model", default="tiny.en", choices=["tiny.en", "base"])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--only", nargs="+", default=USUAL, choices=[*PEERS, *OURS])
    parser.add_argument("--minutes", type=float, default=2.0, help="of speech and of pauses")
    parser.add_argument("--threads", type=int, default=benchlib.CPUS)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--real", action="store_true", help="speechkit at --pace 1")
    options, options.stream = parser.parse_known_args()
    if options.run:
        run_competitor(*options.run)
        return
    note = f"{options.model}, {options.threads} threads, {options.clock} time"
    benchlib.heading("faster-whisper", note=f"{note}, medians of {options.repeats} runs")
    options.model = MODELS / options.model
    os.environ["OMP_NUM_THREADS"] = str(options.threads if options.clock == "wall" else 1)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sets:
            place = Path(folder) / name
            place.mkdir()
            compare(name, options, place)


if __name__ == "__main__":
    main()
