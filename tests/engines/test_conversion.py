"""Whisper from transformers to CTranslate2 and back is the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from whisper_to_transformers import convert, read


def test_there_and_back(untrained: dict[str, Path], tmp_path: Path) -> None:
    convert(untrained["faster-whisper"], tmp_path / "back")
    first, second = (
        WhisperForConditionalGeneration.from_pretrained(folder)
        for folder in (untrained["whisper"], tmp_path / "back")
    )
    weights, again = first.state_dict(), second.state_dict()
    assert weights.keys() == again.keys()
    for name, value in weights.items():
        assert torch.equal(value, again[name]), name
    for name in ("d_model", "encoder_layers", "decoder_attention_heads", "max_source_positions"):
        assert getattr(second.config, name) == getattr(first.config, name)
    for name in ("alignment_heads", "lang_to_id", "task_to_id", "no_timestamps_token_id"):
        assert getattr(second.generation_config, name) == getattr(first.generation_config, name)
    text = "one two three"
    tokenizers = [WhisperTokenizer.from_pretrained(untrained["whisper"])]
    tokenizers.append(WhisperTokenizer.from_pretrained(tmp_path / "back"))
    assert tokenizers[0](text).input_ids == tokenizers[1](text).input_ids
    assert WhisperFeatureExtractor.from_pretrained(tmp_path / "back").feature_size == 80


def test_what_is_no_whisper_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\x06\0\0\0\x10\0TransformerSpec\0")
    with pytest.raises(ValueError, match="TransformerSpec"):
        read(tmp_path / "model.bin")
