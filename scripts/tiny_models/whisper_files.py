"""Writes a trained Whisper as an ordinary Hugging Face folder, and that folder for CTranslate2."""

from __future__ import annotations

import json
from pathlib import Path

from ctranslate2.converters import TransformersConverter
from faster_whisper.tokenizer import Tokenizer
from transformers import (
    GenerationConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from .whisper_text import Ids

LATEST_FIRST_TIME = 1.0  # seconds, Whisper's


def generation_config(ids: Ids, alignment_heads: list[list[int]]) -> GenerationConfig:
    """With all that openai/whisper-tiny's has."""
    inner = Tokenizer(ids.tokenizer.backend_tokenizer, True, "transcribe", "en")
    controls = ("translate", "transcribe", "startoflm", "startofprev", "nospeech")
    return GenerationConfig(
        alignment_heads=alignment_heads,
        begin_suppress_tokens=[ids.tokenizer.convert_tokens_to_ids("Ġ"), ids.end],
        bos_token_id=ids.end,
        decoder_start_token_id=ids.start,
        eos_token_id=ids.end,
        is_multilingual=True,
        lang_to_id={f"<|{language}|>": ids[language] for language in ids.languages},
        max_initial_timestamp_index=ids.time(LATEST_FIRST_TIME) - ids.time(0),
        max_length=448,
        no_timestamps_token_id=ids.no_timestamps,
        pad_token_id=ids.end,
        prev_sot_token_id=ids["startofprev"],
        return_timestamps=False,
        suppress_tokens=sorted(
            {*inner.non_speech_tokens, ids.start, *(ids[name] for name in controls)}
        ),
        task_to_id={task: ids[task] for task in ("transcribe", "translate")},
    )


def save(
    model: WhisperForConditionalGeneration,
    extractor: WhisperFeatureExtractor,
    ids: Ids,
    folder: Path,
) -> None:
    """Also vocab.json and merges.txt, which transformers 5 reads but doesn't write any more."""
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    ids.tokenizer.save_pretrained(folder)
    bpe = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    vocabulary = json.dumps(bpe["vocab"], ensure_ascii=False)
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    merges = ["#version: 0.2", *(" ".join(pair) for pair in bpe["merges"])]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")


def convert(folder: Path, target: Path) -> None:
    """The Hugging Face folder for CTranslate2, in float32; int8 is chosen when it is loaded."""
    copied = ["tokenizer.json", "preprocessor_config.json", "generation_config.json"]
    TransformersConverter(str(folder), copy_files=copied).convert(str(target))
