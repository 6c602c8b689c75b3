"""A Whisper with random weights, saved as both engines take it: real files, nothing learnt."""

from __future__ import annotations

import sys
from pathlib import Path

import ctranslate2
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from tiny_models.whisper_text import LANGUAGES, Ids, build_tokenizer

WINDOW = 2  # seconds


def make_untrained(folder: Path, *, longest: int = 24, **generation: object) -> dict[str, Path]:
    """The model's folder by engine name; it says ``longest`` tokens at most."""
    torch.manual_seed(3)
    ids = Ids(build_tokenizer(WINDOW))
    common = {"bos_token_id": ids.end, "eos_token_id": ids.end, "pad_token_id": ids.end}
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(ids.tokenizer),
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_source_positions=50 * WINDOW,
            max_target_positions=2 * longest,
            decoder_start_token_id=ids.start,
            **common,
        )
    )
    model.generation_config = GenerationConfig(
        max_length=2 * longest,
        decoder_start_token_id=ids.start,
        alignment_heads=[[0, 0], [0, 1]],
        is_multilingual=True,
        lang_to_id={f"<|{name}|>": ids[name] for name in LANGUAGES},
        task_to_id={name: ids[name] for name in ("transcribe", "translate")},
        no_timestamps_token_id=ids.no_timestamps,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        **common,
        **generation,
    )
    found = {"whisper": folder / "whisper", "faster-whisper": folder / "whisper-ct2"}
    model.save_pretrained(found["whisper"])
    ids.tokenizer.save_pretrained(found["whisper"])
    WhisperFeatureExtractor(chunk_length=WINDOW).save_pretrained(found["whisper"])
    ctranslate2.converters.TransformersConverter(
        str(found["whisper"]),
        copy_files=["tokenizer.json", "preprocessor_config.json", "generation_config.json"],
    ).convert(str(found["faster-whisper"]))
    return found
