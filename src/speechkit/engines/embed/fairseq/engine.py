"""The engine ``fairseq`` of embed: fairseq's own HuBERT, through compat."""

from __future__ import annotations

from pathlib import Path

from speechkit.engines.embed.options import EncoderOptions
from speechkit.engines.embed.pooled_encoder import PooledEncoder
from speechkit.engines.encoders.fairseq_hubert import FairseqFeatures
from speechkit.errors import UsageError


def fairseq(options: EncoderOptions) -> PooledEncoder:
    """``options.model`` is a fairseq checkpoint."""
    if options.pool == "cls":
        raise UsageError("--pool cls: a HuBERT has no class token; there are mean and max")
    model = Path(options.model)
    return PooledEncoder(
        "fairseq", lambda *given: FairseqFeatures(model, options.layer, *given), options
    )
