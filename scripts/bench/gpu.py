#!/usr/bin/env python
"""speechkit on a GPU beside transformers, faster-whisper and NeMo, a step at a time; without a
network.

    scripts/bench/gpu.py STEP [--model turbo|large-v3] [--count N] [--repeats 3]

parts: what a window of Whisper's costs, part by part. pipeline: the engine `whisper` beside
transformers' pipeline and faster-whisper on windows of 30 s and 96 tokens, in the geometry of
large-v3-turbo or large-v3 with random weights. sweep: its batch sizes beside the one it chooses.
real: Whisper base on real speech of mixed lengths, with word error rates. startup: to the first
result. s2s: HuBERT base, layer 6. nemo: FastConformer-CTC. Each adds its rows, medians of the
repeats, to --rows as it goes. --device cpu --tiny tries a step out; its figures mean nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpu_steps import scripted
from gpu_steps.common import Setting

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("parts", "pipeline", "sweep", "real", "startup", "s2s", "nemo")


def measure(step: str, setting: Setting, model: str, count: int | None) -> None:
    base = setting.models / "models" / "base-hf"
    if step in ("parts", "pipeline", "sweep"):
        name = "tiny" if setting.tiny else model
        folder = setting.work / f"{name}-{setting.precision}"
        scripted.make(name, base, folder, setting.device, setting.precision)
        if step == "parts":
            from gpu_steps import parts

            parts.run(setting, name, folder)
        else:
            from gpu_steps import whisper

            measured = whisper.sweep if step == "sweep" else whisper.pipeline
            measured(setting, name, folder, count)
    elif step == "real":
        from gpu_steps import whisper

        whisper.real(setting, base, count)
    elif step == "startup":
        from gpu_steps import startup

        startup.run(setting, base)
    elif step == "s2s":
        from gpu_steps import s2s

        s2s.run(setting, count)
    else:
        from gpu_steps import nemo

        nemo.run(setting, setting.models / "tiny-models" / "tokenizer", count)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--model", choices=("turbo", "large-v3"), default="turbo")
    parser.add_argument(
        "--count", type=int, help="windows of pipeline and sweep, utterances of real, s2s and nemo"
    )
    parser.add_argument("--repeats", type=int, help="3, or 1 with --tiny")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--work", type=Path, default=Path.home() / "gpu-bench")
    parser.add_argument("--models", type=Path, default=ROOT / ".cache")
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = options.rows or options.work / "rows.jsonl"
    setting = Setting(
        options.device,
        options.tiny,
        options.work,
        options.models,
        options.data,
        rows,
        options.repeats or (1 if options.tiny else 3),
    )
    measure(options.step, setting, options.model, options.count)


if __name__ == "__main__":
    main()
