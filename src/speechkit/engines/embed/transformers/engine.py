"""The engine ``transformers`` of embed: AST, HuBERT, WavLM, wav2vec 2.0, Whisper's encoder."""

from __future__ import annotations

from pathlib import Path

import torch

from speechkit.engines.embed.options import EncoderOptions
from speechkit.engines.embed.pooled_encoder import PooledEncoder
from speechkit.engines.encoders import audio_spectrogram_transformer, hubert, pretrained
from speechkit.engines.encoders.audio_spectrogram_transformer import AstFeatures
from speechkit.engines.encoders.features import Features
from speechkit.engines.encoders.hubert import HubertFeatures
from speechkit.engines.encoders.whisper import WhisperFeatures
from speechkit.errors import EngineMissing, UsageError

KINDS = (*hubert.KINDS, "whisper", audio_spectrogram_transformer.KIND)


def transformers(options: EncoderOptions) -> PooledEncoder:
    """``options.model``: a folder of transformers, or a fairseq checkpoint of HuBERT."""
    model = Path(options.model)
    kind = pretrained.kind(model) if model.is_dir() else "hubert"
    if kind not in KINDS:
        raise EngineMissing(
            f"--model {model}: a model of the kind {kind!r}; there are {', '.join(KINDS)}"
        )
    is_ast = kind == audio_spectrogram_transformer.KIND
    if options.pool == "cls" and not is_ast:
        raise UsageError(f"--pool cls: a {kind} has no class token; there are mean and max")

    def build(device: torch.device, dtype: torch.dtype) -> Features:
        given = (model, options.layer, device, dtype)
        if is_ast:
            return AstFeatures(*given, cls=options.pool == "cls")
        return WhisperFeatures(*given) if kind == "whisper" else HubertFeatures(*given)

    return PooledEncoder("transformers", build, options)
