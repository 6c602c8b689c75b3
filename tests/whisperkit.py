"""A Whisper with random weights, saved as both engines take it: real files, nothing learnt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from vocabularykit import tokenizer, tokenizer_file
from whisper_to_transformers import ends, generation, write_vocabulary

WINDOW = 2  # seconds
LONGEST = 48  # tokens of a window, with what stands before
VOCABULARY = 51_865  # of every multilingual checkpoint: by it CTranslate2 knows them


def make_untrained(folder: Path, converted: Path) -> None:
    """``converted``: the folder of what faster-whisper takes."""
    torch.manual_seed(3)
    ids = tokenizer().token_to_id
    languages = range(ids("<|startoftranscript|>") + 1, ids("<|translate|>"))
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=VOCABULARY,
            init_std=0.3,  # so wild that each recording has a text of its own
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_source_positions=50 * WINDOW,
            max_target_positions=LONGEST,
            decoder_start_token_id=ids("<|startoftranscript|>"),
            **ends(tokenizer()),
        )
    )
    settings = {"alignment_heads": [[0, 0], [0, 1]], "lang_ids": [*languages]}
    settings |= {"suppress_ids": [], "suppress_ids_begin": []}
    model.generation_config = generation(settings, tokenizer())
    model.generation_config.max_length = LONGEST
    model.save_pretrained(folder)
    shutil.copy(tokenizer_file(), folder)
    write_vocabulary(folder)
    WhisperFeatureExtractor(chunk_length=WINDOW).save_pretrained(folder)
    ctranslate2.converters.TransformersConverter(
        str(folder),
        copy_files=["tokenizer.json", "preprocessor_config.json", "generation_config.json"],
    ).convert(str(converted))


def theirs(folder: Path) -> tuple[Any, Any]:
    """transformers' model of a folder, and a configuration of its own for `generate()`."""
    model: Any = WhisperForConditionalGeneration.from_pretrained(folder, attn_implementation="sdpa")
    settings = model.generation_config
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json"))
    first = getattr(settings, "max_initial_timestamp_index", None)
    generation: Any = GenerationConfig(
        suppress_tokens=settings.suppress_tokens or None,
        begin_suppress_tokens=settings.begin_suppress_tokens or None,
        return_dict_in_generate=True,
        no_timestamps_token_id=vocabulary.token_to_id("<|notimestamps|>"),
        max_initial_timestamp_index=50 if first is None else first,
        decoder_start_token_id=vocabulary.token_to_id("<|startoftranscript|>"),
        **ends(vocabulary),
    )
    model.generation_config = generation
    return model.eval(), generation
