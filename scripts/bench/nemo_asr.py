#!/usr/bin/env python
"""`asr --engine nemo` beside NeMo's own transcribe() over the same list, with the same model.

    scripts/bench/nemo_asr.py [--model ctc|rnnt|sized] [--repeats 3]

ctc, rnnt: the models that have learnt the digits (scripts/make_tiny_models.py nemo). sized: the
geometry of Conformer-CTC small, 13 M parameters, with random weights, since its speed is what
matters. Two lists: windows of 4 s, and of mixed lengths from 0.5 to 25 s. Every competitor runs as
a program of its own, in turns, start-up and model load included; the second ratio is without the
time of the same program for a single window. On a busy machine, only the CPU seconds tell. Both use
the CPUs granted: speechkit in a process for each, NeMo in threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import benchlib
import numpy as np
import soundfile
from benchlib import CPUS, SPEECHKIT, Timing

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tiny_models import digits

WINDOWS = {"ctc": 600, "rnnt": 600, "sized": 120}


def own(model: str, manifest: str, output: str, batch: str) -> None:
    """NeMo's own loader and loop; prints the seconds that importing it and loading the
    model took."""
    began = time.perf_counter()
    import torch
    from nemo.collections.asr.models import ASRModel

    imported = time.perf_counter()
    torch.set_num_threads(CPUS)
    restored = ASRModel.restore_from(model, map_location="cpu")
    loaded = time.perf_counter()
    paths = [record["audio_filepath"] for record in benchlib.read_manifest(Path(manifest))]
    heard = restored.transcribe(paths, batch_size=int(batch), num_workers=0, verbose=False)
    benchlib.write_manifest(Path(output), ({"pred_text": one.text} for one in heard))
    print(json.dumps([imported - began, loaded - imported]))


def make_sized(file: Path) -> Path:
    from nemo.collections.asr.models import EncDecCTCModelBPE
    from omegaconf import DictConfig

    from tiny_models.nemo import CTC_DECODER, MODEL, build_tokenizer

    if not file.is_file():
        with tempfile.TemporaryDirectory() as folder:
            vocabulary = {"dir": str(build_tokenizer(Path(folder) / "tokenizer")), "type": "bpe"}
            encoder = {**MODEL["encoder"], "n_layers": 16, "d_model": 176, "feat_in": 80}
            encoder |= {"subsampling_conv_channels": 176, "conv_kernel_size": 31}
            config = {
                **MODEL,
                "preprocessor": {**MODEL["preprocessor"], "features": 80},
                "encoder": encoder,
                "decoder": {**CTC_DECODER, "feat_in": 176},
                "tokenizer": vocabulary,
            }
            EncDecCTCModelBPE(DictConfig(config)).save_to(str(file))
    return file


def write_lists(folder: Path, data: Path, count: int) -> dict[str, Path]:
    """Digits with short pauses, to the length wanted."""
    random = np.random.default_rng(1)
    words = [word.samples for word in digits.load(data) if word.held_out]
    found = {}
    for name in ("equal", "mixed"):
        lines = []
        for index in range(count):
            seconds = 4.0 if name == "equal" else float(np.exp(random.uniform(-0.7, np.log(25))))
            parts: list[np.ndarray] = []
            while sum(map(len, parts)) < seconds * digits.RATE:
                parts += [words[random.integers(len(words))], np.zeros(digits.RATE // 5)]
            path = folder / f"{name}-{index:04}.wav"
            soundfile.write(path, np.concatenate(parts)[: int(seconds * digits.RATE)], digits.RATE)
            duration = soundfile.info(path).duration
            lines.append({"audio_filepath": str(path), "duration": duration})
        found[name] = benchlib.write_manifest(folder / f"{name}.jsonl", lines)
    return found


def measure(options: argparse.Namespace, folder: Path) -> None:
    names = {"ctc": "nemo-ctc.nemo", "rnnt": "nemo-rnnt.nemo", "sized": "nemo-sized.nemo"}
    model = options.cache / names[options.model]
    if options.model == "sized":
        make_sized(model)
    lists = write_lists(folder, options.data, options.windows or WINDOWS[options.model])
    one = folder / "one.jsonl"
    one.write_text(lists["equal"].open().readline())
    start_up(model, one)
    for name, manifest in lists.items():
        durations = [record["duration"] for record in benchlib.read_manifest(manifest)]
        count, total = len(durations), sum(durations)
        print(f"\n{name}: {count} windows, {total:.0f} s of audio", flush=True)
        report(timed(model, manifest, options), timed(model, one, options))
        texts = [
            [record["pred_text"] for record in benchlib.read_manifest(manifest.with_suffix(suffix))]
            for suffix in (".out.jsonl", f".own-{options.batches[0]}.jsonl")
        ]
        same = sum(a == b for a, b in zip(*texts, strict=True))
        print(f"{same} of {count} texts are the same")


def report(many: dict[str, Timing], one: dict[str, Timing]) -> None:
    """Ratios to NeMo's best, of wall and of CPU seconds, and without those of a single window."""
    for measure in ("wall", "cpu"):
        all_of_it = {peer: getattr(timing, measure) for peer, timing in many.items()}
        beyond = {peer: all_of_it[peer] - getattr(one[peer], measure) for peer in many}
        best, fastest = (
            min(seconds[peer] for peer in many if peer.startswith("NeMo"))
            for seconds in (all_of_it, beyond)
        )
        for peer, seconds in all_of_it.items():
            print(
                f"{peer:24} {measure:4} {seconds:7.1f} s  {best / seconds:5.2f} x NeMo's best, "
                f"{fastest / beyond[peer]:5.2f} x without start-up"
            )


def timed(model: Path, manifest: Path, options: argparse.Namespace) -> dict[str, Timing]:
    out = manifest.with_suffix(".out.jsonl")
    command = ["asr", manifest, "--engine", "nemo", "--model", model, "--restart", "-o", out]
    commands = {"speechkit": [benchlib.speechkit(*command)]}
    for batch in options.batches:
        own_out = str(manifest.with_suffix(f".own-{batch}.jsonl"))
        run = [sys.executable, __file__, "--run", str(model), str(manifest), own_out, str(batch)]
        commands[f"NeMo, batch {batch}"] = [run]
    timings = benchlib.alternate(commands, options.repeats)
    return {name: benchlib.median(some) for name, some in timings.items()}


def start_up(model: Path, one: Path) -> None:
    began = time.perf_counter()
    command = [SPEECHKIT, "asr", one, "--engine", "nemo", "--model", model, "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout
        run.stdout.readline()
        first = time.perf_counter() - began
    run_own = [sys.executable, __file__, "--run", model, one, one.with_suffix(".own"), "1"]
    said = subprocess.run(run_own, check=True, capture_output=True, text=True).stdout
    imported, loaded = json.loads(said.splitlines()[-1])
    print(
        f"first result {first:.1f} s after the command; importing NeMo takes {imported:.1f} s, "
        f"restoring the model {loaded:.1f} s"
    )


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.DATA, peers=True)
    parser.add_argument("--model", choices=list(WINDOWS), default="sized")
    parser.add_argument("--windows", type=int, help="how many, in each list")
    parser.add_argument("--cache", type=Path, default=benchlib.TINY_MODELS)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 16, 32])
    options = parser.parse_args()
    if options.run:
        own(*options.run)
        return
    benchlib.heading("nemo_toolkit", "torch", note=f"medians of {options.repeats} runs")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
