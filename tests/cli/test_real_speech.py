"""What Whisper base makes of real speech: the default engine as it comes, and transformers'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jiwer
import pytest
from whisper_normalizer.basic import BasicTextNormalizer

from runkit import records, write_manifest
from speechkit.engines.model_catalogue import BASE
from speechkit.records import Record

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ROOT / "examples" / "languages"
TRANSFORMERS = ROOT / ".cache" / "models" / "base-hf"
RECORDED = ("jfk", "2412-153948-0000", "spk1_snt1", "spk1_snt2")
#: Word error rates; measured were 0.014, and 0.125 at worst of one sentence.
WORST = {"recorded": 0.05, "languages": 0.2}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BASE.is_installed(), reason=f"needs {BASE.install}"),
]
normal = BasicTextNormalizer()


@pytest.fixture(scope="module")
def found(
    speechkit: Any, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Record]]:
    """What the default engine hears, recorded and in other languages."""
    folder = tmp_path_factory.mktemp("heard")
    lines = (
        {**line, "audio_filepath": str(data / "asr" / line["audio_filepath"])}
        for line in records(data / "asr" / "manifest.jsonl")
        if Path(line["audio_filepath"]).stem in RECORDED
    )
    manifest = write_manifest(folder / "in.jsonl", lines)
    speechkit("asr", manifest, LANGUAGES, "-o", folder / "out.jsonl")
    heard = records(folder / "out.jsonl")
    return {"recorded": heard[: len(RECORDED)], "languages": heard[len(RECORDED) :]}


def word_error_rate(records: list[Record]) -> float:
    references = [normal(record["text"]) for record in records]
    rate: float = jiwer.wer(references, [normal(record["pred_text"]) for record in records])
    return rate


def require_languages(heard: list[Record], names: list[str]) -> None:
    """Each recording is in the language that its name says, and understood."""
    assert [record["lang"] for record in heard] == names
    for record in heard:
        assert Path(record["audio_filepath"]).stem == record["lang"]
        assert word_error_rate([record]) <= WORST["languages"], record["pred_text"]


def test_recorded_speech(found: dict[str, list[Record]]) -> None:
    heard = found["recorded"]
    assert word_error_rate(heard) <= WORST["recorded"]
    assert {record["lang"] for record in heard} == {"en"}
    assert "ask not what your country can do for you" in normal(heard[0]["pred_text"])


def test_other_languages(found: dict[str, list[Record]]) -> None:
    require_languages(found["languages"], ["de", "es", "fr", "it"])


@pytest.mark.skipif(not TRANSFORMERS.is_dir(), reason=f"no {TRANSFORMERS}: make models")
def test_two_languages_by_transformers(speechkit: Any, tmp_path: Path) -> None:
    names = ["es", "it"]
    command = ["asr", *(LANGUAGES / f"{name}.flac" for name in names), "--engine", "whisper"]
    speechkit(*command, "--model", TRANSFORMERS, "-o", tmp_path / "out.jsonl")
    require_languages(records(tmp_path / "out.jsonl"), names)
