#!/usr/bin/env python
"""What `speechkit finetune` teaches Whisper tiny.en of spoken digits, and what it forgets.

    scripts/bench/finetune_digits.py [--data DATA] [--runs full lora] [--steps 80]
        [--test-speakers lucas nicolas] [--held-out 400] [OPTION...]

The other speakers of the four are trained on: the share of the test speakers' digits that `asr`
gets right before and after, and the seconds of the training as a program. First with all
weights, then with LoRA and two guards, LibriSpeech and further read speech, whose word error rates
before and after it prints. Targets: from at most 80 to at least 98 % in three minutes on two CPUs,
and guards at most two points worse. Further options go to both trainings.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import benchlib
from benchlib import MODELS
from whisper_normalizer.english import EnglishTextNormalizer

SPEAKERS = ("george", "jackson", "lucas", "nicolas")
GUARDS = ("librispeech", "asr")
RUNS = ("full", "lora")
SEED = 18
EVALUATED = 50  # digits in a program's own evaluation, which it needs for its guards


def main() -> None:
    parser = benchlib.parser(__doc__, data=benchlib.DATA)
    parser.add_argument("--model", type=Path, default=MODELS / "tiny.en-hf")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--test-speakers", nargs="+", choices=SPEAKERS, default=SPEAKERS[2:])
    parser.add_argument("--held-out", type=int, default=400, help="digits to test with")
    options, more = parser.parse_known_args()
    benchlib.heading(
        "transformers",
        "torch",
        "peft",
        note=f"{options.steps} steps, tested on {' and '.join(options.test_speakers)}",
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, held_out = digits(options, folder)
        print(f"before: {accuracy(options.model, held_out, folder):.1%} of the digits right")
        if "full" in options.runs:
            run("full", options, [train, *more], held_out, folder)
        if "lora" in options.runs:
            guards = [one for name in GUARDS for one in ("--guard", texts(options, name, folder))]
            few = benchlib.read_manifest(held_out)[:EVALUATED]
            evaluation = benchlib.write_manifest(folder / "evaluation.jsonl", few)
            evaluated = ["--eval", evaluation, "--evaluate-every", options.steps]
            lora = ["--lora", 16, *evaluated, *guards]
            run("lora", options, [train, *lora, *more], held_out, folder)


def digits(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Manifests of what is trained on and of what is held out, in any order."""
    found = lines(options.data / "digits")
    random.Random(SEED).shuffle(found)
    held_out = [line for line in found if line["speaker"] in options.test_speakers]
    train = [line for line in found if line["speaker"] not in options.test_speakers]
    return (
        benchlib.write_manifest(folder / "train.jsonl", train),
        benchlib.write_manifest(folder / "held-out.jsonl", held_out[: options.held_out]),
    )


def texts(options: argparse.Namespace, name: str, folder: Path) -> Path:
    """A manifest of the recordings of a set that have a text."""
    spoken = (line for line in lines(options.data / name) if line.get("text"))
    return benchlib.write_manifest(folder / f"{name}.jsonl", spoken)


def lines(source: Path) -> list[dict[str, Any]]:
    return [
        {**line, "audio_filepath": str((source / line["audio_filepath"]).resolve())}
        for line in benchlib.read_manifest(source / "manifest.jsonl")
    ]


def run(
    kind: str,
    options: argparse.Namespace,
    given: Sequence[object],
    held_out: Path,
    folder: Path,
) -> None:
    out = folder / kind
    command = ["finetune", *given, "--model", options.model, "--steps", options.steps]
    with benchlib.PeakMemory() as memory:
        taken = benchlib.timed(benchlib.speechkit(*command, "--output-dir", out))
    right = accuracy(out / "last", held_out, folder)
    print(
        f"{kind}: {right:.1%} of the digits right; the training took {taken.wall:.0f} s, "
        f"{taken.cpu:.0f} s of CPUs, {memory.peak / 1e6:.0f} MB",
        flush=True,
    )
    summary = json.loads((out / "summary.json").read_text())
    before, after = (summary.get(when) or {} for when in ("before", "best"))
    for name, rates in (after.get("guards") or {}).items():
        was, wer = before["guards"][name]["wer"], rates["wer"]
        print(f"  guard {name}: WER {was:.2%} before, {wer:.2%} after")


def accuracy(model: Path, manifest: Path, folder: Path) -> float:
    """The share of the recordings whose text is right."""
    out = folder / "heard.jsonl"
    options = ["--engine", "whisper", "--model", model, "--temperature", 0, "--restart", "-o", out]
    benchlib.timed(benchlib.speechkit("asr", manifest, *options))
    normal = EnglishTextNormalizer()
    heard = benchlib.read_manifest(out)
    return sum(normal(one["pred_text"]) == normal(one["text"]) for one in heard) / len(heard)


if __name__ == "__main__":
    main()
