from __future__ import annotations

from pathlib import Path

import pytest
from faultkit import Run, Unbroken

from audiokit import cut_speech
from sphinxkit import QUICK


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 short utterances."""
    return cut_speech(tmp_path_factory.mktemp("speech"), 160, longest=1.6, seed=2)


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 short utterances, for what is slow."""
    return cut_speech(tmp_path_factory.mktemp("few"), 24, longest=1.2, seed=3)


def _unbroken(folder: Path, *args: object) -> Unbroken:
    out = folder / "unbroken.jsonl"
    result = Run(folder, *args, "-o", out).wait()  # as long as those that are to be harmed
    assert result.code == 0, result.err
    return Unbroken(args, out.read_bytes(), result)


@pytest.fixture(scope="session")
def ten(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    return _unbroken(tmp_path_factory.mktemp("ten"), "vad", speech, "--workers", 2)


@pytest.fixture(scope="session")
def silero(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    folder = tmp_path_factory.mktemp("silero")
    return _unbroken(folder, "vad", speech, "--engine", "silero", "--workers", 2)


@pytest.fixture(scope="session")
def validate(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """Of limits that no cut of good speech exceeds."""
    limits = ["--min-speech", 0, "--max-silence", 1, "--max-dropouts", 1000, "--min-bandwidth", 0]
    folder = tmp_path_factory.mktemp("validate")
    return _unbroken(folder, "validate", speech, *limits, "--workers", 2)


@pytest.fixture(scope="session")
def asr(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    folder = tmp_path_factory.mktemp("asr")
    return _unbroken(folder, "asr", few, *QUICK, "--workers", 2)
