"""A tiny Whisper of spoken digits: OUTPUT/whisper for transformers, OUTPUT/whisper-ct2 for
CTranslate2, and OUTPUT/whisper-held-out.jsonl, a manifest of what it was not trained on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jiwer
import numpy as np
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperProcessor

from . import digits
from .made import made, recipe_of
from .whisper_files import convert, generation_config, save
from .whisper_text import Ids, build_tokenizer
from .whisper_training import Recipe, train
from .whisper_windows import Sounds

WORST = 0.05  # word error rate of the held-out digits


def make(output: Path, data: Path) -> None:
    """Trains, converts and measures the model, unless it is there. Exits where it has not learnt
    the digits."""
    words = digits.load(data)
    noises = digits.load_noise(data, held_out=False)
    digest = recipe_of("whisper", ("transformers", "ctranslate2", "scipy"), words, noises)
    with made(output, "whisper", digest) as folder:
        if folder is None:
            return
        recipe = Recipe()
        ids = Ids(build_tokenizer(recipe.seconds))
        extractor = WhisperFeatureExtractor(chunk_length=recipe.seconds)
        training = [word for word in words if not word.held_out]
        print(f"training on {len(training)} recordings, with {len(words) - len(training)} held out")
        model = train(recipe, Sounds(training, noises, extractor, recipe.seed), ids)
        model.generation_config = generation_config(ids, [[recipe.layers - 1, 0]])
        save(model, extractor, ids, folder / "whisper")
        convert(folder / "whisper", folder / "whisper-ct2")
        held_out = [word for word in words if word.held_out]
        digits.write_manifest(held_out, folder / "whisper-held-out.jsonl")
        rate = word_error_rate(folder / "whisper", held_out)
        print(f"word error rate of the {len(held_out)} held-out digits: {rate:.3f}")
        if rate >= WORST:
            sys.exit(f"The word error rate is not below {WORST}: {folder} is left as it is.")


def word_error_rate(folder: Path, words: list[digits.Word]) -> float:
    """As transformers reads and decodes the folder."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    processor = WhisperProcessor.from_pretrained(folder)
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    heard: list[str] = []
    for batch in np.array_split(np.arange(len(words)), max(1, len(words) // 50)):
        samples = [words[index].samples for index in batch]
        made = processor(
            samples, sampling_rate=digits.RATE, return_attention_mask=True, return_tensors="pt"
        )
        tokens = model.generate(**made, language="en", task="transcribe")
        heard += processor.batch_decode(tokens, skip_special_tokens=True)
    rate: float = jiwer.wer([word.text for word in words], [text.strip() for text in heard])
    return rate
