#!/usr/bin/env python
"""`speechkit finetune` beside transformers' Seq2SeqTrainer with the collator of its recipe.

    scripts/bench/finetune.py [--data DATA] [--repeats 3] [--sets mixed short digits] [--steps 20]
        [--batch-size 8] [--compute-type float32] [--device cpu] [--model FOLDER]

Speed and memory of full fine-tuning on three sets: utterances of 1 to 28 s at the full context
(target: 1.3 times as fast), utterances of 1 to 5 s, and spoken digits, both with `--context auto`
(8 times as fast). The Trainer pads everything to 30 s, since the model takes nothing else. The
target for memory is at most that of the Trainer.

Both learn from the same utterances once, in batches and precisions that are the same, each as a
program of its own with the threads of OMP_NUM_THREADS, in turns. `train` are the seconds in steps:
those of speechkit include the wait for audio, which it decodes and turns into features meanwhile.
The Trainer finds its features on disk, as the recipe has it: they were made beforehand. `all` are
the seconds of the whole program, for speechkit with the check of the data and a checkpoint that is
verified, for the Trainer with the features and without any checkpoint. `cpu` are those of all
processes together, `memory` is their peak (proportional set size).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import benchlib
import numpy as np
import recordings
from benchlib import MODELS
from recordings import Sentence

RATE = 1e-5  # highest learning rate
SEED = 12
LEAST = 1.0  # seconds of a part of a joined utterance


@dataclass(frozen=True)
class Task:
    """One training, as both programs are given it."""

    manifest: str
    model: str
    output: str
    context: str
    steps: int
    batch: int
    compute_type: str
    device: str


@dataclass(frozen=True)
class Used:
    """Seconds, and bytes at the peak, of a program with its children."""

    train: float
    all: float
    cpu: float
    memory: float
    loss: float


# ---- The sets ----


def joined(options: argparse.Namespace, shortest: float, longest: float) -> list[Sentence]:
    """Utterances of lengths drawn evenly: sentences one after another, the last one cut off."""
    random = np.random.default_rng(SEED)
    sentences = recordings.read(options.data / "librispeech")
    made = []
    for _ in range(options.steps * options.batch_size):
        room = random.uniform(shortest, longest)
        parts: list[Sentence] = []
        while room >= LEAST or not parts:
            parts.append(cut(sentences[random.integers(len(sentences))], room))
            room -= parts[-1].seconds
        samples = np.concatenate([part.samples for part in parts])
        made.append(Sentence(samples, " ".join(part.text for part in parts)))
    return made


def cut(sentence: Sentence, seconds: float) -> Sentence:
    """Its beginning, with as many of its words as that is of its length."""
    words = sentence.text.split()
    count = max(1, round(len(words) * min(1.0, seconds / sentence.seconds)))
    samples = sentence.samples[: round(seconds * recordings.RATE)]
    return Sentence(samples, " ".join(words[:count]))


def written(sentences: Sequence[Sentence], folder: Path) -> Path:
    folder.mkdir()
    return recordings.separate(sentences, folder)


def mixed(options: argparse.Namespace, folder: Path) -> Path:
    return written(joined(options, 1.0, 28.0), folder / "audio")


def short(options: argparse.Namespace, folder: Path) -> Path:
    return written(joined(options, 1.0, 5.0), folder / "audio")


def digits(options: argparse.Namespace, folder: Path) -> Path:
    """As they are, at 8 kHz."""
    source = options.data / "digits"
    lines = benchlib.read_manifest(source / "manifest.jsonl")
    order = np.random.default_rng(SEED).permutation(len(lines))
    chosen = [lines[at] for at in order[: options.steps * options.batch_size]]
    placed = ({**one, "audio_filepath": str(source / one["audio_filepath"])} for one in chosen)
    return benchlib.write_manifest(folder / "digits.jsonl", placed)


SETS: dict[str, tuple[Callable[[argparse.Namespace, Path], Path], str]] = {
    "mixed": (mixed, "30"),
    "short": (short, "auto"),
    "digits": (digits, "auto"),
}


# ---- The competitors ----


def speechkit(task: Task) -> list[str]:
    given: Mapping[str, object] = {
        "model": task.model,
        "context": task.context,
        "steps": task.steps,
        "examples-per-step": task.batch,
        "batch-size": task.batch,
        "save-every": task.steps,
        "learning-rate": RATE,
        "compute-type": task.compute_type,
        "device": task.device,
        "output-dir": task.output,
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return benchlib.speechkit("finetune", task.manifest, *options, "--restart")


def spent_by_speechkit(task: Task) -> tuple[float, float]:
    """Seconds in steps, and the mean loss."""
    folder = Path(task.output)
    summary = json.loads((folder / "summary.json").read_text())
    lines = benchlib.read_manifest(folder / "metrics.jsonl")
    return summary["pace"]["seconds"], statistics.mean(
        one["loss"] for one in lines if "loss" in one
    )


def trainer(task: Task) -> list[str]:
    program = Path(__file__).with_name("seq2seq_trainer.py")
    return [sys.executable, str(program), json.dumps(asdict(task))]


def spent_by_trainer(task: Task) -> tuple[float, float]:
    found = json.loads((Path(task.output) / "spent.json").read_text())
    return found["train_runtime"], found["train_loss"]


Competitor = tuple[Callable[[Task], list[str]], Callable[[Task], tuple[float, float]]]
OURS, THEIRS = "speechkit finetune", "Seq2SeqTrainer"
COMPETITORS: dict[str, Competitor] = {
    OURS: (speechkit, spent_by_speechkit),
    THEIRS: (trainer, spent_by_trainer),
}


# ---- The measurement ----


def measured(name: str, task: Task) -> Used:
    command, spent = COMPETITORS[name]
    with benchlib.PeakMemory() as memory:
        taken = benchlib.timed(command(task))
    train, loss = spent(task)
    return Used(train, taken.wall, taken.cpu, memory.peak, loss)


def measure(name: str, options: argparse.Namespace, folder: Path) -> None:
    make, context = SETS[name]
    folder.mkdir()
    manifest = make(options, folder)
    seconds = [line["duration"] for line in benchlib.read_manifest(manifest)]
    print(
        f"\n{name}: {len(seconds)} utterances of {min(seconds):.1f} to {max(seconds):.1f} s, "
        f"{sum(seconds):.0f} s together; context {context}",
        flush=True,
    )
    found: dict[str, list[Used]] = {name: [] for name in COMPETITORS}
    for number in range(options.repeats):
        for competitor in COMPETITORS:
            task = Task(
                manifest=str(manifest),
                model=str(options.model),
                output=str(folder / f"{number}-{competitor.split()[0]}"),
                context=context,
                steps=options.steps,
                batch=options.batch_size,
                compute_type=options.compute_type,
                device=options.device,
            )
            found[competitor].append(measured(competitor, task))
    report({competitor: medians(used) for competitor, used in found.items()})


def medians(used: Sequence[Used]) -> Used:
    return Used(*(statistics.median(column) for column in zip(*map(astuple, used), strict=True)))


def report(found: Mapping[str, Used]) -> None:
    print(f"{'':20} {'train':>8} {'all':>8} {'cpu':>8} {'memory':>8} {'loss':>6}")
    for name, used in found.items():
        print(
            f"{name:20} {used.train:6.1f} s {used.all:6.1f} s {used.cpu:6.1f} s "
            f"{used.memory / 1e6:5.0f} MB {used.loss:6.2f}"
        )
    ours, theirs = found[OURS], found[THEIRS]
    print(
        f"{'ratio':20} {theirs.train / ours.train:7.2f}x {theirs.all / ours.all:7.2f}x "
        f"{theirs.cpu / ours.cpu:7.2f}x {ours.memory / theirs.memory:7.2f}x",
        flush=True,
    )


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.DATA)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", type=Path, default=MODELS / "tiny.en-hf")
    options = parser.parse_args()
    note = f"medians of {options.repeats} runs, {options.steps} steps of {options.batch_size}"
    benchlib.heading("transformers", "accelerate", "torch", note=note)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sets:
            measure(name, options, Path(folder) / name)


if __name__ == "__main__":
    main()
