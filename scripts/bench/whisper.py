#!/usr/bin/env python
"""`asr` with both Whisper engines beside transformers' pipeline and faster-whisper's own.

    scripts/bench/whisper.py [--model tiny|sized] [--data DATA] [--repeats 3]

tiny: the model that has learnt the digits (scripts/make_tiny_models.py whisper), which gives word
error rates as well. sized: whisper-tiny's geometry, 39 M parameters, with random weights and an end
that is never the likeliest token, so that every window takes the same number of steps everywhere.

Every competitor runs as a program of its own, start-up and model load included, in turns, so that a
busy machine slows all alike. The first ratio is of median wall times, the second of what is left of
them without the time for a single short utterance: of throughput in long runs. What speechkit needs
of VAD is counted. All use the CPUs granted: speechkit in a process for each, the others in threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile
from turns import alternate

from speechkit.io import audio

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000  # Hz
CPUS = len(os.sched_getaffinity(0))
STEPS = 24  # tokens that a window of the sized model takes; the tiny one never needs as many
SPEECHKIT = Path(sys.executable).with_name("speechkit")


# ---- Competitors: each is run as `whisper.py --run NAME MODEL MANIFEST OUTPUT BATCH` ----


def paths_of(manifest: str) -> list[str]:
    return [json.loads(line)["audio_filepath"] for line in Path(manifest).open()]


def pipeline(model: str, manifest: str, batch: int) -> Iterator[str]:
    """Whole recordings to the pipeline, which cuts them into windows with overlap."""
    import torch
    import transformers

    torch.set_num_threads(CPUS)
    transformers.logging.set_verbosity_error()
    whisper = transformers.pipeline("automatic-speech-recognition", model=model)
    window = whisper.feature_extractor.chunk_length

    def waveforms() -> Iterator[dict[str, Any]]:
        for path in paths_of(manifest):
            yield {"raw": soundfile.read(path, dtype="float32")[0], "sampling_rate": RATE}

    # Its own default is five beams.
    decoding = {"language": "en", "task": "transcribe", "num_beams": 1, "max_new_tokens": STEPS}
    for made in whisper(
        waveforms(), chunk_length_s=window, batch_size=batch, generate_kwargs=decoding
    ):
        yield made["text"]


def batched(model: str, manifest: str, batch: int) -> Iterator[str]:
    """faster-whisper's BatchedInferencePipeline, a call a file. Of the tokens that it is allowed,
    prompt included, CTranslate2 makes half."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    whisper = BatchedInferencePipeline(WhisperModel(model, compute_type=CT2_TYPE, cpu_threads=CPUS))
    for path in paths_of(manifest):
        segments, _ = whisper.transcribe(
            path,
            language="en",
            beam_size=1,
            temperature=0.0,
            batch_size=batch,
            vad_filter=False,
            max_new_tokens=2 * STEPS - len(("start", "language", "task", "no timestamps")),
        )
        yield " ".join(segment.text for segment in segments)


CT2_TYPE = "int8_float32"
PEERS: dict[str, Callable[[str, str, int], Iterator[str]]] = {
    "pipeline": pipeline,
    "batched": batched,
}


def run_peer(name: str, model: str, manifest: str, output: str, batch: str) -> None:
    texts = list(PEERS[name](model, manifest, int(batch)))
    lines = (json.dumps({"pred_text": text.strip()}) + "\n" for text in texts)
    Path(output).write_text("".join(lines))


# ---- What they are given ----


@dataclass(frozen=True)
class Models:
    """A Hugging Face folder, the same for CTranslate2, and what suits them."""

    hf: Path
    ct2: Path
    words: list[tuple[np.ndarray, str]]
    long: int  # recordings of `joined` words each
    joined: int
    short: int


def tiny(cache: Path, data: Path) -> Models:
    held_out = cache / "whisper-held-out.jsonl"
    words = list(read(held_out, held_out.parent))
    return Models(cache / "whisper", cache / "whisper-ct2", words, long=16, joined=200, short=2000)


def sized(cache: Path, data: Path) -> Models:
    from whisper_sized import make

    words = list(read(data / "asr" / "manifest.jsonl", data / "asr"))
    short = [(samples, text) for samples, text in words if len(samples) < 4 * RATE]
    make(cache / "whisper-sized", STEPS)
    folder = cache / "whisper-sized"
    return Models(folder / "hf", folder / "ct2", short, long=3, joined=60, short=24)


def read(manifest: Path, base: Path) -> Iterator[tuple[np.ndarray, str]]:
    for line in manifest.read_text().splitlines():
        record = json.loads(line)
        samples = audio.load(
            str(base / record["audio_filepath"]),
            offset=record.get("offset", 0.0),
            duration=record["duration"],
            sample_rate=RATE,
        )
        yield samples, record.get("text", "")


def write_audio(models: Models, folder: Path) -> dict[str, tuple[Path, list[str]]]:
    """The manifests by name, with the truth: short utterances, and those among recordings with
    pauses of 0.5 to 4 s."""
    random = np.random.default_rng(1)
    records = []
    for index in range(models.short):
        samples, text = models.words[index % len(models.words)]
        records.append(write(folder / f"short-{index:04}.wav", samples, text))
    longs = []
    for index in range(models.long):
        parts, said = [], []
        for _ in range(models.joined):
            samples, text = models.words[random.integers(len(models.words))]
            pause = np.zeros(int(RATE * random.uniform(0.5, 4)), np.float32)
            parts += [samples / np.abs(samples).max() * 0.7, pause]
            said.append(text)
        whole = np.concatenate(parts)
        whole += random.normal(0, 3e-4, len(whole)).astype(np.float32)
        longs.append(write(folder / f"long-{index}.wav", whole, " ".join(said)))
    sets = {"short": records, "mixed": [*longs, *records[:: max(1, len(records) // 100)]]}
    found = {}
    for name, chosen in sets.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in chosen))
        found[name] = (path, [record["text"] for record in chosen])
    return found


def write(path: Path, samples: np.ndarray, text: str) -> dict[str, Any]:
    soundfile.write(path, samples, RATE)
    return {"audio_filepath": str(path), "duration": len(samples) / RATE, "text": text}


# ---- The measurement ----


def measure(options: argparse.Namespace, folder: Path) -> None:
    models = {"tiny": tiny, "sized": sized}[options.model](options.cache, options.data)
    manifests = write_audio(models, folder)
    one = folder / "one.jsonl"
    one.write_text(manifests["short"][0].open().readline())
    for name in options.sets:
        manifest, truth = manifests[name]
        total = sum(json.loads(line)["duration"] for line in manifest.open())
        print(f"\n{name}: {len(truth)} recordings, {total:.0f} s of audio", flush=True)
        medians, outputs = timed(models, name, manifest, options)
        alone, _ = timed(models, name, one, options)
        rates = {peer: medians[peer] - alone[peer] for peer in medians}
        pipelines = [peer for peer in medians if peer.startswith("pipeline")]
        best, fastest = (min(times[peer] for peer in pipelines) for times in (medians, rates))
        for peer, median in medians.items():
            rate = ""
            if options.model == "tiny":
                said = [json.loads(line)["pred_text"] for line in outputs[peer].open()]
                rate = f"  WER {jiwer.wer(truth, [text.strip().lower() for text in said]):.3f}"
            print(
                f"{peer:28} {median:7.1f} s  {best / median:5.2f} x the best pipeline, "
                f"{fastest / rates[peer]:5.2f} x without start-up{rate}"
            )
        if (peer := "faster-whisper batched") in medians:
            print(
                f"speechkit faster-whisper beside that: "
                f"{medians[peer] / medians['speechkit faster-whisper']:.2f} x, "
                f"{rates[peer] / rates['speechkit faster-whisper']:.2f} x without start-up"
            )


def timed(
    models: Models, name: str, manifest: Path, options: argparse.Namespace
) -> tuple[dict[str, float], dict[str, Path]]:
    """Median seconds and the output of each competitor."""
    outputs = {}
    commands: dict[str, list[list[str]]] = {}
    for engine, model in (("whisper", models.hf), ("faster-whisper", models.ct2)):
        peer = f"speechkit {engine}"
        outputs[peer] = out = manifest.with_suffix(f".{engine}.jsonl")
        commands[peer] = ours(name, engine, model, manifest, out)
    for batch in options.pipeline_batches:
        peer = f"pipeline, batch {batch}"
        outputs[peer] = out = manifest.with_suffix(f".pipeline-{batch}.jsonl")
        commands[peer] = [theirs("pipeline", models.hf, manifest, out, batch)]
    if name == "short" and options.model == "sized":  # it pads to 30 s whatever the model says
        peer = "faster-whisper batched"
        outputs[peer] = out = manifest.with_suffix(".batched.jsonl")
        commands[peer] = [theirs("batched", models.ct2, manifest, out, 16)]
    times = alternate(commands, options.repeats)
    return {peer: statistics.median(measured) for peer, measured in times.items()}, outputs


def ours(name: str, engine: str, model: Path, manifest: Path, out: Path) -> list[list[str]]:
    vad = out.with_suffix(".vad.jsonl")
    source = manifest
    commands = []
    if name == "mixed":
        source = vad
        commands.append([str(SPEECHKIT), "vad", str(manifest), "--restart", "-o", str(vad)])
        commands[0] += ["--engine", "silero", "--threshold", "0.3"]
    command = ["asr", source, "--engine", engine, "--model", model, "--restart", "-o", out]
    command += ["--language", "en", "--temperature", "0", "--no-timestamps"]
    return [*commands, [str(SPEECHKIT), *map(str, command)]]


def theirs(peer: str, model: Path, manifest: Path, out: Path, batch: int) -> list[str]:
    return [sys.executable, __file__, "--run", peer, *map(str, (model, manifest, out, batch))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--model", choices=["tiny", "sized"], default="tiny")
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "tiny-models")
    parser.add_argument("--sets", nargs="+", default=["short", "mixed"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pipeline-batches", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    if options.run:
        run_peer(*options.run)
        return
    print(f"{CPUS} CPUs, medians of {options.repeats} runs")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
