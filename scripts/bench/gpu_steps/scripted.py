"""Whispers of any geometry that say a text of 96 tokens in every window, whatever they hear.

Their weights are random, since speed is what matters, except for the positions of the decoder: each
is the embedding of the token that follows it, a thousandfold, which drowns all else. So every
runtime decodes as much as every other, by the same rules as with a real model, and its text proves
that it did.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

TOKENS = 96
PROMPT = 4  # <|startoftranscript|>, language, task, <|notimestamps|>
LOUDNESS = 1000.0
TEXT = (
    "the harbour lay quiet under a thin morning mist and nobody on the long stone pier had "
    "yet seen the small grey boat that was coming in slowly from the west with its sail half "
    "down. an old man sat near the lamp post mending nets, humming a tune his mother used to "
    "sing when winter came early to these islands. behind him two children counted shells "
    "into a basket, arguing about which of them had found the largest one, while a dog slept "
    "beside warm bread that somebody from the bakery had left on an upturned crate to cool "
    "before breakfast was served upstairs."
)
TURBO_HEADS = [[2, 4], [2, 11], [3, 3], [3, 6], [3, 11], [3, 14]]
LARGE_HEADS = [
    *([7, 0], [10, 17], [12, 18], [13, 12], [16, 1], [17, 14], [19, 11], [21, 4], [24, 1], [25, 6]),
]
LARGE = {"d_model": 1280, "encoder_layers": 32, "heads": 20, "ffn": 5120, "mels": 128}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "turbo": {**LARGE, "decoder_layers": 4, "alignment": TURBO_HEADS},
    "large-v3": {**LARGE, "decoder_layers": 32, "alignment": LARGE_HEADS},
    "tiny": {
        **{"d_model": 128, "encoder_layers": 1, "heads": 2, "ffn": 256, "mels": 80},
        **{"decoder_layers": 2, "alignment": [[0, 0], [0, 1], [1, 0], [1, 1]]},
        "init_std": 0.1,  # so that few dimensions do
    },
}


def make(name: str, like: Path, folder: Path, device: str, precision: str) -> Path:
    """The model's folder; ``like`` is a multilingual Whisper whose vocabulary and rules it gets."""
    if folder.is_dir():
        return folder
    import torch
    from tokenizers import Tokenizer
    from transformers import GenerationConfig, WhisperFeatureExtractor

    sizes = GEOMETRIES[name]
    tokenizer = Tokenizer.from_file(str(like / "tokenizer.json"))
    said = tokenizer.encode(TEXT, add_special_tokens=False).ids[:TOKENS]
    assert len(said) == TOKENS
    end = tokenizer.token_to_id("<|endoftext|>")
    model = _random(sizes, json.loads((like / "config.json").read_text()), device, precision)
    decoder = model.model.decoder
    with torch.no_grad():
        decoder.embed_tokens.weight[end].normal_(0, model.config.init_std)  # padding begins as 0
        following = [*said, *[end] * (len(decoder.embed_positions.weight) - TOKENS)]
        for place, token in enumerate(following[: 1 - PROMPT], start=PROMPT - 1):
            loud = decoder.embed_tokens.weight[token] * LOUDNESS
            decoder.embed_positions.weight[place] = loud
    told = json.loads((like / "generation_config.json").read_text())
    model.generation_config = GenerationConfig(**{**told, "alignment_heads": sizes["alignment"]})
    building = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    model.save_pretrained(building)
    WhisperFeatureExtractor(feature_size=sizes["mels"]).save_pretrained(building)
    for file in ("tokenizer.json", "vocab.json", "merges.txt"):
        shutil.copyfile(like / file, building / file)
    building.rename(folder)
    return folder


def _random(sizes: dict[str, Any], like: dict[str, Any], device: str, precision: str) -> Any:
    """Made where it is to run, where that takes seconds."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=like["vocab_size"],
        d_model=sizes["d_model"],
        num_mel_bins=sizes["mels"],
        encoder_layers=sizes["encoder_layers"],
        decoder_layers=sizes["decoder_layers"],
        encoder_attention_heads=sizes["heads"],
        decoder_attention_heads=sizes["heads"],
        encoder_ffn_dim=sizes["ffn"],
        decoder_ffn_dim=sizes["ffn"],
        **{name: like[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
        decoder_start_token_id=like["decoder_start_token_id"],
        init_std=sizes.get("init_std", 0.02),
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(1)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, precision))
    try:
        with torch.device(device):
            return WhisperForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(usual)
