"""A Whisper of whisper-tiny's geometry with random weights, for measuring speed alone."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tiny_models.whisper_files import convert, generation_config, save
from tiny_models.whisper_text import Ids, build_tokenizer

WINDOW = 30  # seconds
PIECES = 50_257  # of text, of the multilingual checkpoints


def make(folder: Path, steps: int) -> None:
    """FOLDER/hf and FOLDER/ct2, unless they are there: each window takes ``steps`` tokens."""
    if (folder / "ct2" / "model.bin").is_file():
        return
    torch.manual_seed(1)
    languages = tuple(LANGUAGES)[:99]
    ids = Ids(build_tokenizer(WINDOW, languages, PIECES), languages)
    prompt = len(("start", "language", "task", "no timestamps"))
    model = WhisperForConditionalGeneration(
        WhisperConfig(  # the defaults are whisper-tiny's
            max_target_positions=prompt + steps,
            pad_token_id=ids.end,
            bos_token_id=ids.end,
            eos_token_id=ids.end,
            decoder_start_token_id=ids.start,
        )
    )
    with torch.no_grad():  # a logit of 0 is never the greatest of fifty thousand
        model.proj_out.weight[ids.end] = 0.0
    model.generation_config = generation_config(ids, [[3, 0]])
    model.generation_config.max_length = prompt + steps
    save(model, WhisperFeatureExtractor(chunk_length=WINDOW), ids, folder / "hf")
    model.generation_config.max_length = 2 * steps  # of which CTranslate2 takes half
    convert(folder / "hf", folder / "ct2")
    model.generation_config.save_pretrained(folder / "ct2")
