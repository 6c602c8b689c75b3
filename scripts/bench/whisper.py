#!/usr/bin/env python
"""Whisper base in `speechkit asr` beside faster-whisper's three modes.

    scripts/bench/whisper.py [--data DATA] [--repeats 1] [--sets short mixed long] [--beam-size 1]
    scripts/bench/whisper.py --only speechkit "transformers' pipeline" [--sentences 6]

Speed, word error rate, and words lost in runs of four and more, on three sets of LibriSpeech and
other read speech: short files of 6 s at most, files of 2 to 100 s, and one file of 20 minutes,
which speechkit also transcribes with one worker. Every competitor runs as a program of its own,
start-up and model load included, in turns, so that a busy machine slows all alike. Each uses the
CPUs granted as it does best: speechkit in a process for each; faster-whisper in a model of one
thread for each file at once, and in threads for a single file. faster-whisper and speechkit's
engine of that name compute in 8-bit integers, the pipeline and the engine `whisper` in float32.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import benchlib
import recordings
from benchlib import CPUS, MODELS

COMPUTE_TYPE = "int8_float32"
BATCH = {"pipeline": 4, "batched": 16}  # windows; the best of 1, 4 and 16 on two CPUs
SHORT = 6.0  # seconds, of the longest short file
LONG = 130  # sentences in the long recording, 20 minutes


# ---- Competitors: each is run as `whisper.py --run NAME MANIFEST OUTPUT BEAMS` ----


def paths_of(manifest: str) -> list[str]:
    return [record["audio_filepath"] for record in benchlib.read_manifest(Path(manifest))]


def pipeline(manifest: str, beams: int) -> Iterator[str]:
    """Whole recordings to transformers' pipeline, which cuts them into windows with overlap."""
    import soundfile
    import torch
    import transformers

    torch.set_num_threads(CPUS)
    transformers.logging.set_verbosity_error()
    whisper: Any = transformers.pipeline(
        "automatic-speech-recognition", model=str(MODELS / "base-hf")
    )
    whisper.tokenizer.pad_token = whisper.tokenizer.eos_token

    def waveforms() -> Iterator[dict[str, Any]]:
        for path in paths_of(manifest):
            samples, rate = soundfile.read(path, dtype="float32")
            yield {"raw": samples, "sampling_rate": rate}

    # Without timestamps its windows end at the first long pause: half of the joined words are lost.
    decoding = {"language": "en", "num_beams": beams, "return_timestamps": True}
    for made in whisper(
        waveforms(), chunk_length_s=30, batch_size=BATCH["pipeline"], generate_kwargs=decoding
    ):
        yield made["text"]


def faster_whisper(manifest: str, beams: int, **options: Any) -> Iterator[str]:
    """A file at a time for each CPU, with one thread; a single file with a thread for each."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    paths = paths_of(manifest)
    at_once = min(CPUS, len(paths))
    model: Any = WhisperModel(
        str(MODELS / "base"),
        compute_type=COMPUTE_TYPE,
        cpu_threads=CPUS // at_once,
        num_workers=at_once,
    )

    def text(path: str) -> str:
        decoder = BatchedInferencePipeline(model) if "batch_size" in options else model
        segments, _ = decoder.transcribe(path, language="en", beam_size=beams, **options)
        return " ".join(segment.text.strip() for segment in segments)

    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(text, paths)


PEERS: dict[str, Callable[[str, int], Iterator[str]]] = {
    "faster-whisper": faster_whisper,
    "faster-whisper, vad_filter": lambda m, b: faster_whisper(m, b, vad_filter=True),
    "faster-whisper, batched": lambda m, b: faster_whisper(m, b, batch_size=BATCH["batched"]),
    "transformers' pipeline": pipeline,
}
ONE_WORKER = "speechkit, 1 worker"
# Engine, model, VAD and further options.
OURS: dict[str, tuple[str, str, str | None, list[object]]] = {
    "speechkit": ("faster-whisper", "base", None, []),
    ONE_WORKER: ("faster-whisper", "base", None, ["--workers", 1]),
    "speechkit, silero": ("faster-whisper", "base", "silero", []),
    "speechkit, ten": ("faster-whisper", "base", "ten", []),
    "speechkit whisper": ("whisper", str(MODELS / "base-hf"), None, []),
}
USUAL = ("speechkit", ONE_WORKER, *(name for name in PEERS if name.startswith("faster")))


def run_peer(name: str, manifest: str, output: str, beams: str) -> None:
    texts = PEERS[name](manifest, int(beams))
    benchlib.write_manifest(Path(output), ({"pred_text": text} for text in texts))


def command(name: str, manifest: Path, out: Path, beams: int) -> list[list[str]]:
    if name in PEERS:
        return [[sys.executable, __file__, "--run", name, str(manifest), str(out), str(beams)]]
    engine, model, vad, further = OURS[name]
    steps: list[list[object]] = []
    source = manifest
    if vad:
        source = out.with_suffix(".vad.jsonl")
        steps.append(["vad", manifest, "--engine", vad, "--restart", "-o", source])
    steps.append(["asr", source, "--engine", engine, "--model", model, "--language", "en"])
    steps[-1] += ["--beam-size", beams, *further, "--restart", "-o", out]
    return [benchlib.speechkit(*step) for step in steps]


# ---- The measurement ----


def measure(options: argparse.Namespace, folder: Path) -> None:
    for name in options.sets:
        place = folder / name
        place.mkdir()
        compare(name, SETS[name](options, place), options)


def short(options: argparse.Namespace, folder: Path) -> Path:
    found = [one for name in ("librispeech", "asr") for one in recordings.read(options.data / name)]
    chosen = [one for one in found if one.seconds <= SHORT][: options.sentences]
    return recordings.separate(chosen, folder)


def mixed(options: argparse.Namespace, folder: Path) -> Path:
    """Every other sentence, and two recordings of ten sentences each."""
    sentences = librispeech(options)
    manifests = [
        recordings.separate(sentences[::2], folder),
        recordings.joined(sentences, folder, count=2, each=options.sentences or 10, seed=21),
    ]
    lines = [line for manifest in manifests for line in benchlib.read_manifest(manifest)]
    return benchlib.write_manifest(folder / "mixed.jsonl", lines)


def long(options: argparse.Namespace, folder: Path) -> Path:
    each = options.sentences or LONG
    return recordings.joined(librispeech(options), folder, count=1, each=each, seed=21)


def librispeech(options: argparse.Namespace) -> list[recordings.Sentence]:
    return recordings.read(options.data / "librispeech")[: options.sentences]


SETS = {"short": short, "mixed": mixed, "long": long}


def compare(name: str, manifest: Path, options: argparse.Namespace) -> None:
    lines = benchlib.read_manifest(manifest)
    seconds = sum(line["duration"] for line in lines)
    print(f"\n{name}: {len(lines)} recordings, {seconds:.0f} s of audio", flush=True)
    chosen = [
        one for one in options.only or USUAL if one != ONE_WORKER or name == "long" or options.only
    ]
    outputs = {one: manifest.with_suffix(f".{at}.jsonl") for at, one in enumerate(chosen)}
    commands = {one: command(one, manifest, outputs[one], options.beam_size) for one in chosen}
    medians = benchlib.wall_medians(commands, options.repeats)
    report(medians, outputs, [line["text"] for line in lines], seconds)


def report(
    medians: Mapping[str, float],
    outputs: Mapping[str, Path],
    truth: Sequence[str],
    seconds: float,
) -> None:
    best = min((medians[name] for name in PEERS if name in medians), default=0.0)
    print(f"{'':28} {'seconds':>8} {'x real time':>11} {'best peer':>9} {'WER':>6} {'lost':>5}")
    for name, median in medians.items():
        heard = [record["pred_text"] for record in benchlib.read_manifest(outputs[name])]
        found = recordings.errors(truth, heard)
        print(
            f"{name:28} {median:8.1f} {seconds / median:11.1f} {best / median:8.2f}x "
            f"{100 * found.rate:5.1f}% {found.lost:5}"
        )


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=1, data=benchlib.DATA, peers=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], help="these, in this order")
    parser.add_argument("--sentences", type=int, help="of each set, for a trial; default: all")
    parser.add_argument("--beam-size", type=int, default=1)
    options = parser.parse_args()
    if options.run:
        run_peer(*options.run)
        return
    note = f"medians of {options.repeats} runs, beam size {options.beam_size}"
    benchlib.heading("faster-whisper", "transformers", "torch", note=note)
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
