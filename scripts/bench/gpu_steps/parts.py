"""What a Whisper's window costs, part by part: features, encoder, a step of the decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from gpu_steps import scripted
from gpu_steps.common import RATE, WINDOW, Setting, cycled, full_windows, samples_of, seconds_of
from speechkit.engines import registry
from speechkit.engines.asr.whisper.backend import Search

THREADS = (1, 4, 16)
ENCODED = (8, 32, 64, 128)  # windows at once
DECODED = (16, 64, 128)
CHUNK = 32  # windows whose features are made at once


def run(setting: Setting, name: str, folder: Path) -> None:
    features(setting, f"parts {name}", folder)
    with torch.inference_mode():
        theirs(setting, f"parts {name}", folder)
        if setting.device != "cpu":
            torch.cuda.empty_cache()
        ours(setting, f"parts {name}", folder)


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
        taken = seconds_of(setting, lambda: make("cpu"), 1)
        setting.row(step, f"features, {threads} CPU threads", 1000 * taken / count, "ms/window")
    torch.set_num_threads(usual)
    if setting.device != "cpu":
        taken = seconds_of(setting, lambda: make(setting.device))
        setting.row(step, "features, GPU (extractor)", 1000 * taken / count, "ms/window")


def _noise(setting: Setting, mels: int, windows: int) -> torch.Tensor:
    return torch.randn(windows, mels, 100 * WINDOW)


def theirs(setting: Setting, step: str, folder: Path) -> None:
    """transformers' model itself: the encoder, and generate() on what it has encoded."""
    dtype = getattr(torch, setting.precision)
    model: Any = WhisperForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa"
    ).to(setting.device)
    mels = model.config.num_mel_bins
    noise = _noise(setting, mels, max(_sizes(setting, ENCODED))).to(setting.device, dtype)
    for size in _sizes(setting, ENCODED):
        with setting.trying(step, f"encoder, batch {size}"):
            taken = seconds_of(setting, lambda size=size: model.model.encoder(noise[:size]))
            setting.row(step, f"encoder, batch {size}", 1000 * taken / size, "ms/window")
    for size in _sizes(setting, DECODED):
        with setting.trying(step, f"generate(), batch {size}"):
            hidden = model.model.encoder(noise[:size]).last_hidden_state
            told = {"language": "en", "task": "transcribe", "num_beams": 1}
            made: list[Any] = []

            def decode(hidden: Any = hidden, made: list[Any] = made, told: Any = told) -> None:
                made[:] = [
                    model.generate(
                        encoder_outputs=BaseModelOutput(last_hidden_state=hidden), **told
                    )
                ]

            taken = seconds_of(setting, decode, 1)
            step_ms = 1000 * taken / scripted.TOKENS
            setting.row(step, f"generate(), batch {size}", step_ms, "ms/step", _length(made[0]))


def ours(setting: Setting, step: str, folder: Path) -> None:
    """The same by the engine's own `Backend`."""
    engine: Any = registry.create(
        "asr", "whisper", model=str(folder), device=setting.device, language="en"
    )
    backend = engine._backend
    vocabulary = backend.vocabulary
    prompt = [*vocabulary.start("en", "transcribe"), vocabulary.no_timestamps]
    greedy, most = Search(), backend.longest - len(prompt)
    waves = [samples_of(one) for one in full_windows(setting)]
    for size in _sizes(setting, DECODED):
        batch = [waves[at % len(waves)] for at in range(size)]
        with setting.trying(step, f"speechkit, batch {size}"):
            taken = seconds_of(setting, lambda batch=batch: backend.features(batch), 1)
            setting.row(step, f"speechkit features, batch {size}", 1000 * taken / size, "ms/window")
            made = backend.features(batch)
            taken = seconds_of(setting, lambda made=made: backend.encode(made))
            setting.row(step, f"speechkit encode, batch {size}", 1000 * taken / size, "ms/window")
            drafts: list[Any] = []

            # Of each time a new encoding: a backend may keep what it has decoded in it.
            def both(made: Any = made, drafts: list[Any] = drafts, size: int = size) -> None:
                encoded = backend.encode(made)
                drafts[:] = backend.decode(encoded, [prompt] * size, greedy, most)

            decoding = seconds_of(setting, both, 1) - taken
            said = f"{len(drafts[0].tokens)} tokens"
            ms = 1000 * decoding / scripted.TOKENS
            setting.row(step, f"speechkit decode, batch {size}", ms, "ms/step", said)


def _length(made: Any) -> str:
    tokens = made["sequences"] if isinstance(made, dict) else made
    return f"{tokens.shape[1]} tokens"
