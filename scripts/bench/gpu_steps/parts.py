"""What a window of Whisper's costs, part by part: features, encoder, a step of the decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from gpu_steps import ours, scripted
from gpu_steps.common import RATE, WINDOW, Setting, cycled, full_windows, samples_of, seconds_of

THREADS = (1, 4, 16)
ENCODED = (8, 32, 64, 128)  # windows at once
DECODED = (16, 64, 128)
CHUNK = 32  # windows whose features are made at once
WINDOWS = 512  # of the engine


def run(setting: Setting, name: str, folder: Path) -> None:
    step = f"parts {name}"
    features(setting, step, folder)
    with torch.inference_mode():
        theirs(setting, step, folder)
    if setting.device != "cpu":
        torch.cuda.empty_cache()
    with setting.trying(step, "speechkit"):
        engine(setting, step, folder)


def _sizes(setting: Setting, sizes: tuple[int, ...]) -> tuple[int, ...]:
    return (1, 2) if setting.tiny else sizes


def features(setting: Setting, step: str, folder: Path) -> None:
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    count = 2 if setting.tiny else CHUNK
    waves = [samples_of(one) for one in cycled(full_windows(setting), count)]

    def make(device: str) -> Any:
        return extractor(waves, sampling_rate=RATE, return_tensors="pt", device=device)

    usual = torch.get_num_threads()
    for threads in THREADS:
        torch.set_num_threads(threads)
        taken = seconds_of(setting, lambda: make("cpu"))
        setting.row(step, f"features, {threads} CPU threads", 1000 * taken / count, "ms/window")
    torch.set_num_threads(usual)
    if setting.device != "cpu":
        taken = seconds_of(setting, lambda: make(setting.device))
        setting.row(step, "features, GPU (extractor)", 1000 * taken / count, "ms/window")


def theirs(setting: Setting, step: str, folder: Path) -> None:
    """transformers' model itself: the encoder, and generate() on what it has encoded."""
    dtype = getattr(torch, setting.precision)
    model: Any = WhisperForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa"
    ).to(setting.device)
    windows = max(_sizes(setting, ENCODED))
    noise = torch.randn(windows, model.config.num_mel_bins, 100 * WINDOW)
    noise = noise.to(setting.device, dtype)
    for size in _sizes(setting, ENCODED):
        with setting.trying(step, f"encoder, batch {size}"):
            taken = seconds_of(setting, lambda size=size: model.model.encoder(noise[:size]))
            setting.row(step, f"encoder, batch {size}", 1000 * taken / size, "ms/window")
    told = {"language": "en", "task": "transcribe", "num_beams": 1}
    for size in _sizes(setting, DECODED):
        with setting.trying(step, f"generate(), batch {size}"):
            hidden = model.model.encoder(noise[:size]).last_hidden_state
            made: list[Any] = []

            def decode(hidden: Any = hidden, made: list[Any] = made) -> None:
                encoded = BaseModelOutput(last_hidden_state=hidden)
                made[:] = [model.generate(encoder_outputs=encoded, **told)]

            taken = seconds_of(setting, decode)
            step_ms = 1000 * taken / scripted.TOKENS
            setting.row(step, f"generate(), batch {size}", step_ms, "ms/step", _length(made[0]))


def engine(setting: Setting, step: str, folder: Path) -> None:
    """What the engine itself says of its parts."""
    windows = cycled(full_windows(setting), 4 if setting.tiny else WINDOWS)
    passes = ours.passes(ours.engine(setting, folder), windows, setting.repeats)
    best = ours.median_pass(passes)
    for part, seconds in best.parts.items():
        setting.row(step, f"speechkit, {part}", 1000 * seconds / len(windows), "ms/window")
    setting.row(step, "speechkit, all", best.pace, "ms/window", best.note)


def _length(made: Any) -> str:
    tokens = made["sequences"] if isinstance(made, dict) else made
    return f"{tokens.shape[1]} tokens"
