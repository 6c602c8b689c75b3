"""transformers' pipeline and faster-whisper on utterances in memory, at their best batch size."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from gpu_steps import watch
from gpu_steps.common import RATE, Setting, Utterance, samples_of

SWEEP = 4.0  # seconds for each batch size, without its first batch
JOINED = 256  # utterances that faster-whisper hears as one recording

Transcribe = Callable[[Sequence[Utterance], int], Iterator[str]]


@dataclass(frozen=True)
class Peer:
    """``load``: from the folder of a transformers model, what yields the texts of utterances, given
    a batch size."""

    name: str
    load: Callable[[Setting, Path], Transcribe]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Paced:
    """``pace``: ms an utterance after the first batch; ``busy``: the GPU's percent meanwhile."""

    size: int
    pace: float
    busy: float
    texts: list[str]


def best(
    setting: Setting, step: str, peer: Peer, folder: Path, utterances: Sequence[Utterance]
) -> Paced | None:
    """The peer at its best batch size, the median of its repeats; None where it doesn't run."""
    found: list[Paced] = []
    with setting.trying(step, peer.name):
        transcribe = peer.load(setting, folder)
        # Of fewer utterances, most texts would come with the first batch, which isn't counted.
        paced = [size for size in peer.sizes if 3 * size <= len(utterances)]
        for size in (2,) if setting.tiny else paced:
            with setting.trying(step, f"{peer.name}, batch {size}"):
                found.append(_paced(setting, transcribe, utterances, size))
                note = f"GPU busy {found[-1].busy:.0f} %"
                what = f"{peer.name}, batch {size}"
                setting.row(step, what, found[-1].pace, "ms/utterance", note)
        chosen = min(found, key=lambda one: one.pace)
        again = [
            _paced(setting, transcribe, utterances, chosen.size) for _ in range(setting.repeats - 1)
        ]
        pace = median(one.pace for one in [chosen, *again])
        note = f"batch {chosen.size}, median of {1 + len(again)}"
        setting.row(step, f"{peer.name} at its best", pace, "ms/utterance", note)
        del transcribe
    free(setting)
    return chosen if found else None


def free(setting: Setting) -> None:
    """Give back the GPU's memory of what is no longer used."""
    if setting.device != "cpu":
        import torch

        gc.collect()
        torch.cuda.empty_cache()


def _paced(
    setting: Setting, transcribe: Transcribe, utterances: Sequence[Utterance], size: int
) -> Paced:
    texts: list[str] = []
    moments: list[float] = []
    with watch.Busy(setting.work / "peer.busy") as busy:
        for text in transcribe(utterances, size):
            texts.append(text)
            moments.append(time.time())
            whole = len(texts) % size == 0
            if whole and moments[-1] - moments[0] > SWEEP and len(texts) > 2 * size:
                break
    pace = 1000 * (moments[-1] - moments[0]) / max(1, len(texts) - size)
    return Paced(size, pace, busy.mean(moments[0], moments[-1]), texts)


def _transformers(setting: Setting, folder: Path) -> Transcribe:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    pipe: Any = transformers.pipeline(
        "automatic-speech-recognition",
        model=str(folder),
        dtype=getattr(torch, setting.precision),
        device=setting.device,
    )
    pipe.tokenizer.pad_token = pipe.tokenizer.eos_token  # without it there are no batches
    told = {"language": "en", "task": "transcribe", "num_beams": 1}

    def transcribe(utterances: Sequence[Utterance], size: int) -> Iterator[str]:
        audio = ({"raw": samples_of(one), "sampling_rate": RATE} for one in utterances)
        for made in pipe(audio, batch_size=size, generate_kwargs=told):
            yield made["text"]

    return transcribe


def _faster_whisper(setting: Setting, folder: Path) -> Transcribe:
    """Its `BatchedInferencePipeline` takes one recording at a time: utterances are joined."""
    from ctranslate2.converters import TransformersConverter
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    made = setting.work / f"{folder.name}-ctranslate2"
    if not made.is_dir():
        files = ["tokenizer.json", "preprocessor_config.json"]
        TransformersConverter(str(folder), copy_files=files).convert(str(made))
    precision = "float16" if setting.device != "cpu" else "int8"
    pipe: Any = BatchedInferencePipeline(
        WhisperModel(str(made), device=setting.device, compute_type=precision)
    )

    def transcribe(utterances: Sequence[Utterance], size: int) -> Iterator[str]:
        for first in range(0, len(utterances), JOINED):
            yield from _texts_of_clips(pipe, utterances[first : first + JOINED], size)

    return transcribe


def _texts_of_clips(pipe: Any, utterances: Sequence[Utterance], size: int) -> Iterator[str]:
    waves = list(map(samples_of, utterances))
    ends = np.cumsum([len(wave) for wave in waves]) / RATE
    starts = [0.0, *ends[:-1]]
    clips = [{"start": start, "end": end} for start, end in zip(starts, ends, strict=True)]
    heard, _ = pipe.transcribe(
        np.concatenate(waves),
        language="en",
        beam_size=1,
        temperature=0.0,
        batch_size=size,
        without_timestamps=True,
        clip_timestamps=clips,
    )
    texts = [""] * len(clips)
    done = 0
    for segment in heard:
        at = min(int(np.searchsorted(ends, (segment.start + segment.end) / 2)), len(clips) - 1)
        while done < at:
            yield texts[done]
            done += 1
        texts[at] += segment.text
    yield from texts[done:]


PEERS = (
    Peer("pipeline", _transformers, (16, 32, 64, 128)),
    Peer("faster-whisper", _faster_whisper, (16, 32, 64)),
)
