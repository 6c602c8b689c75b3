"""`speechkit asr --engine whisper` beside transformers' pipeline at its best, on the same audio."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import recordings

from gpu_steps import scripted, watch
from gpu_steps.common import (
    WINDOW,
    Setting,
    Utterance,
    cycled,
    full_windows,
    samples_of,
    sentences,
    write_manifest,
)
from speechkit.engines import registry
from speechkit.engines.protocols import Clip

BATCHES = (16, 32, 64, 128)
SWEEP = 5.0  # seconds that each batch size of the pipeline is given, without its first batch
WINDOWS = {"turbo": 1024, "large-v3": 512, "tiny": 6}
UTTERANCES = 2000


def pipeline(setting: Setting, name: str, folder: Path, count: int | None) -> None:
    """96 tokens in every window of 30 s."""
    windows = cycled(full_windows(setting), count or WINDOWS[name])
    said = " ".join(scripted.TEXT.split()[:20])
    step = f"pipeline {name}"
    with setting.trying(step, "speechkit"):
        texts = _engine(setting, step, folder, windows)
        spoken = sum(text.lower().startswith(said) for text in texts)
        setting.row(step, "windows with the text expected", spoken, f"of {len(windows)}")
    _, texts = _theirs(setting, step, folder, windows)
    spoken = sum(text.strip().lower().startswith(said) for text in texts)
    setting.row(step, "windows of the pipeline with it", spoken, f"of {len(texts)}")


def real(setting: Setting, folder: Path, count: int | None) -> None:
    """Whisper base on real speech of mixed lengths."""
    utterances = cycled(sentences(setting), count or (8 if setting.tiny else UTTERANCES))
    with setting.trying("real base", "speechkit"):
        texts = _ours(setting, "real base", folder, utterances)
        _wer(setting, "speechkit", utterances, texts)
    best, texts = _theirs(setting, "real base", folder, utterances)
    _wer(setting, f"pipeline, batch {best}", utterances, texts)


def _engine(setting: Setting, step: str, folder: Path, windows: Sequence[Utterance]) -> list[str]:
    """The engine without the command line, which would decode again what has no words: where they
    lie is left to chance in such a model."""
    engine: Any = registry.create(
        "asr", "whisper", model=str(folder), device=setting.device, language="en"
    )
    texts, moments = [], []
    with watch.Busy(setting.work / "engine.busy") as busy:
        for clips in engine.transcribe([Clip(samples_of(one), WINDOW)] for one in windows):
            texts.append(" ".join(part.text for clip in clips for part in clip.segments))
            moments.append(time.time())
    use, taken = engine.device_use(), moments[-1] - moments[0]
    pace = 1000 * taken / max(1, len(texts) - use.batch_size)
    note = f"batch {use.batch_size}, {use.compute_type}, {len(texts)} windows in {taken:.1f} s"
    setting.row(step, "speechkit", pace, "ms/window", note)
    setting.row(step, "speechkit, GPU busy", busy.mean(moments[0], moments[-1]), "%")
    return texts


def _ours(setting: Setting, step: str, folder: Path, utterances: Sequence[Utterance]) -> list[str]:
    manifest = write_manifest(setting.work / f"{step.replace(' ', '-')}.jsonl", utterances)
    command = ["asr", manifest, "--engine", "whisper", "--model", folder, "--language", "en"]
    command += ["--device", setting.device]
    found = watch.speechkit(command, manifest.with_suffix(".out.jsonl"))
    note = f"{found.batch}, {len(utterances)} utterances in {found.seconds:.1f} s"
    setting.row(step, "speechkit", found.pace, "ms/utterance", note)
    setting.row(step, "speechkit, first result after", found.first, "s")
    setting.row(step, "speechkit, GPU busy", found.busy, "%")
    return [record["pred_text"] for record in found.records]


def _theirs(
    setting: Setting, step: str, folder: Path, utterances: Sequence[Utterance]
) -> tuple[int, list[str]]:
    """The best batch size, and the texts that it gave, as far as it came in its time."""
    if setting.device != "cpu":
        import torch

        gc.collect()
        torch.cuda.empty_cache()
    pipe = _load(setting, folder)
    found: dict[tuple[int, int], tuple[float, list[str]]] = {}
    sizes = (2,) if setting.tiny else BATCHES
    tried = [(size, 0) for size in sizes]
    for size, workers in tried:
        what = f"pipeline, batch {size}" + (", features in a process" if workers else "")
        with setting.trying(step, what):
            pace, busy, texts = _paced(setting, pipe, utterances, size, workers)
            found[size, workers] = pace, texts
            setting.row(step, what, pace, "ms/utterance", f"GPU busy {busy:.0f} %")
        if (size, workers) == tried[-1] and not workers and found and not setting.tiny:
            tried.append((min(found, key=lambda one: found[one][0])[0], 1))
    best = min(found, key=lambda one: found[one][0])
    return best[0], found[best][1]


def _load(setting: Setting, folder: Path) -> Any:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    made: Any = transformers.pipeline(
        "automatic-speech-recognition",
        model=str(folder),
        dtype=getattr(torch, setting.precision),
        device=setting.device,
    )
    made.tokenizer.pad_token = made.tokenizer.eos_token  # without it there are no batches
    return made


def _paced(
    setting: Setting, pipe: Any, utterances: Sequence[Utterance], size: int, workers: int
) -> tuple[float, float, list[str]]:
    """ms an utterance after the first batch, the GPU's utilisation meanwhile, and the texts."""

    def audio() -> Iterator[dict[str, Any]]:
        for one in utterances:
            yield {"raw": samples_of(one), "sampling_rate": 16_000}

    told = {"language": "en", "task": "transcribe", "num_beams": 1}
    texts: list[str] = []
    moments: list[float] = []
    with watch.Busy(setting.work / "pipeline.busy") as busy:
        for made in pipe(audio(), batch_size=size, num_workers=workers, generate_kwargs=told):
            texts.append(made["text"])
            moments.append(time.time())
            whole = len(texts) % size == 0
            if whole and moments[-1] - moments[0] > SWEEP and len(texts) > 2 * size:
                break
    taken = moments[-1] - moments[0]
    return (
        1000 * taken / max(1, len(texts) - size),
        busy.mean(moments[0], moments[-1]),
        texts,
    )


def _wer(
    setting: Setting, what: str, utterances: Sequence[Utterance], texts: Sequence[str]
) -> None:
    truth = [one.text for one in utterances[: len(texts)]]
    found = recordings.errors(truth, texts)
    setting.row("real base", f"{what}, WER", 100 * found.rate, "%", f"{len(texts)} utterances")
