"""What Whisper base makes of real speech: the default engine as it comes, and transformers'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jiwer
import pytest
from whisper_normalizer.basic import BasicTextNormalizer

from speechkit.engines.model_catalogue import BASE
from speechkit.records import Record

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ROOT / "examples" / "languages"
TRANSFORMERS = ROOT / ".cache" / "models" / "base-hf"
ENGINES = {
    "default": [],
    "whisper": ["--engine", "whisper", "--model", TRANSFORMERS],
}
#: Word error rates; measured were 0.022, 0.032, and 0.125 at worst of one sentence.
WORST = {"speech": 0.06, "asr": 0.08, "languages": 0.2}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BASE.is_installed(), reason=f"needs {BASE.install}"),
]
normal = BasicTextNormalizer()


def transcribed(speechkit: Any, out: Path, *arguments: object) -> list[Record]:
    speechkit("asr", *arguments, "-o", out)
    records = (json.loads(line) for line in out.read_bytes().splitlines())
    return [record for record in records if "text" in record]


def word_error_rate(records: list[Record]) -> float:
    references = [normal(record["text"]) for record in records]
    rate: float = jiwer.wer(references, [normal(record["pred_text"]) for record in records])
    return rate


def test_the_examples(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    found = transcribed(speechkit, tmp_path / "out.jsonl", examples / "slt")
    assert word_error_rate(found) <= WORST["speech"]
    assert {record["lang"] for record in found} == {"en"}
    (story,) = [r for r in found if r["audio_filepath"].endswith("story.flac")]
    assert normal(story["pred_text"]).split() == normal(story["text"]).split()


def test_recorded_speech(speechkit: Any, data: Path, tmp_path: Path) -> None:
    found = transcribed(
        speechkit, tmp_path / "out.jsonl", data / "asr" / "manifest.jsonl", "--limit", 5
    )
    assert word_error_rate(found) <= WORST["asr"]
    assert "ask not what your country can do for you" in normal(found[0]["pred_text"])


@pytest.mark.parametrize("engine", ENGINES)
def test_other_languages(engine: str, speechkit: Any, tmp_path: Path) -> None:
    if engine == "whisper" and not TRANSFORMERS.is_dir():
        pytest.skip(f"no {TRANSFORMERS}: make models")
    found = transcribed(speechkit, tmp_path / "out.jsonl", LANGUAGES, *ENGINES[engine])
    assert len(found) == 4
    for record in found:
        assert record["lang"] == Path(record["audio_filepath"]).stem
        assert word_error_rate([record]) <= WORST["languages"], record["pred_text"]
