"""Audio encoders with random weights, as folders of transformers, and what transformers makes of
speech with them: one utterance at a time, nothing padded that the model doesn't ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    AutoFeatureExtractor,
    AutoModel,
    HubertConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
)

Waves = Sequence[NDArray[np.float32]]

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
STACK: dict[str, Any] = {
    **SIZES,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "initializer_range": 0.3,  # so wild that all layers differ
}
LARGE = {**STACK, "do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
WHISPER: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "max_source_positions": 200,
    "vocab_size": 64,
    **{f"{name}_token_id": 1 for name in ("pad", "bos", "eos", "decoder_start")},
    "init_std": 0.3,
}


def waves_of(normalised: bool) -> Any:
    return Wav2Vec2FeatureExtractor(do_normalize=normalised, return_attention_mask=normalised)


MODELS = {
    "hubert": (HubertConfig(**STACK), waves_of(False)),
    "hubert-large": (HubertConfig(**LARGE), waves_of(True)),
    "wavlm": (WavLMConfig(**STACK), waves_of(False)),
    "wav2vec2": (Wav2Vec2Config(**STACK), waves_of(True)),
    "wav2vec2-large": (Wav2Vec2Config(**LARGE), waves_of(True)),
    "whisper": (WhisperConfig(**WHISPER), WhisperFeatureExtractor(chunk_length=4)),
    "ast": (
        ASTConfig(**SIZES, max_length=400, num_mel_bins=64, initializer_range=0.3),
        ASTFeatureExtractor(max_length=400, num_mel_bins=64),
    ),
}


def make(name: str, folder: Path) -> Path:
    torch.manual_seed(5)
    config, extractor = MODELS[name]
    AutoModel.from_config(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def theirs(folder: Path, waves: Waves, layer: int | None, pool: str = "mean") -> NDArray[Any]:
    """transformers' vectors, of the frames that the audio fills."""
    extractor: Any = AutoFeatureExtractor.from_pretrained(folder)
    model: Any = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    model = model.get_encoder() if model.config.model_type == "whisper" else model
    return np.stack([_vector(extractor, model, wave, layer, pool) for wave in waves])


@torch.inference_mode()
def _vector(extractor: Any, model: Any, wave: Any, layer: int | None, pool: str) -> NDArray[Any]:
    given = extractor(wave, sampling_rate=16_000, return_tensors="pt")
    found = model(next(iter(given.values())), output_hidden_states=True)
    hidden = found.last_hidden_state if layer is None else found.hidden_states[layer]
    frames = hidden[0]
    if model.config.model_type == "whisper":
        frames = frames[: len(wave) // 320]
    if "spectrogram" in model.config.model_type:
        if pool == "cls":
            return frames[:2].mean(0).numpy()
        count = ((len(wave) - 400) // 160 + 1 - 16) // 10 + 1
        width = (model.config.max_length - 16) // 10 + 1
        frames = frames[2:].unflatten(0, (-1, width))[:, :count].flatten(0, 1)
    return (frames.amax(0) if pool == "max" else frames.mean(0)).numpy()
