"""No engine talks to anybody, and none writes but to its output, speechkit's cache and TMPDIR.

Each is run as a user runs it, with an empty home folder, leave to use the hub, and no switch set.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import soundfile
from tracekit import Traced

from runkit import records
from speechkit.engines.model_catalogue import BASE

pytestmark = pytest.mark.slow

ENGINES = [
    "transformers",
    "fairseq",
    pytest.param(
        "textless",
        marks=[
            pytest.mark.textless,
            pytest.mark.skipif(find_spec("textless") is None, reason="no textlesslib"),
        ],
    ),
]


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    """Where it works lies a file that would have NeMo's one-logger call a program."""
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    program = {"args": ["touch", str(tmp_path / "home" / "called")]}
    exporters = {"exporters": [{"class_name": "subprocess.Popen", "config": program}]}
    (tmp_path / "work" / "one_logger_exporters_config.json").write_text(json.dumps(exporters))
    made = Traced(tmp_path)
    made.try_out()
    return made


@pytest.fixture(scope="module")
def spoken(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds."""
    waveform, rate = soundfile.read(examples / "rms" / "bridge.flac", dtype="int16")
    path: Path = tmp_path_factory.mktemp("spoken") / "bridge.wav"
    soundfile.write(path, waveform[: 2 * rate], rate)
    return path


@pytest.fixture(scope="module")
def encoder(s2s_models: Path) -> list[Any]:
    return ["--model", s2s_models / "hubert-dict.pt", "--layer", 2]


@pytest.mark.parametrize("engine", ["ten", "silero"])
def test_vad(engine: str, traced: Traced, spoken: Path) -> None:
    assert traced.run("vad", spoken, "--engine", engine, "-o", "vad.jsonl") == set()


def test_pocketsphinx(traced: Traced, spoken: Path) -> None:
    assert traced.run("asr", spoken, "--engine", "pocketsphinx", "-o", "asr.jsonl") == set()


@pytest.mark.skipif(not BASE.is_installed(), reason=BASE.install)
def test_whisper_base_is_joined_in_the_cache(traced: Traced, spoken: Path) -> None:
    assert traced.run("asr", spoken, "-o", "asr.jsonl") == set()


def test_a_model_in_the_hubs_cache_is_not_looked_up(
    traced: Traced, spoken: Path, english_whispers: dict[str, Path]
) -> None:
    cache = traced.root / "home/.cache/huggingface/hub/models--openai--whisper-tiny.en"
    for name in ("refs", "snapshots"):
        (cache / name).mkdir(parents=True)
    (cache / "refs" / "main").write_text("5" * 40)
    (cache / "snapshots" / ("5" * 40)).symlink_to(english_whispers["whisper"])
    options = ["--engine", "whisper", "--model", "tiny.en"]
    assert traced.run("asr", spoken, *options, "-o", "asr.jsonl") == set()


def test_a_download_that_is_asked_for_is_seen(traced: Traced, spoken: Path) -> None:
    options = ["--engine", "faster-whisper", "--model", "small"]
    seen = traced.run("asr", spoken, *options, "-o", "asr.jsonl", code=1)
    assert "openat /etc/hosts" in seen


def test_nemo(traced: Traced, spoken: Path, nemos: dict[str, Path]) -> None:
    """By way of lhotse, which keeps more than the others do."""
    options = ["--engine", "nemo", "--model", nemos["rnnt"], "--dataloader", "lhotse"]
    assert traced.run("asr", spoken, *options, "-o", "asr.jsonl") == set()


@pytest.fixture(scope="module")
def said() -> dict[str, dict[str, object]]:
    """What each engine has made of `spoken`."""
    return {}


@pytest.mark.parametrize("engine", ENGINES)
def test_speech_to_units_to_speech(
    engine: str,
    traced: Traced,
    spoken: Path,
    encoder: list[Any],
    s2s_models: Path,
    said: dict[str, dict[str, object]],
) -> None:
    """And all engines say the same."""
    units = [*encoder, "--quantizer", s2s_models / "km.npz"]
    speech = ["--vocoder", s2s_models / "vocoder" / "g.pt", "--output-dir", "out"]
    assert traced.run("s2s", spoken, "--engine", engine, *units, *speech) == set()
    (record,) = records(traced.root / "work/out/s2s.jsonl")
    path = traced.root / "work" / record.pop("audio_filepath_out")
    said[engine] = {**record, "speech": path.read_bytes()}
    assert said[engine] == next(iter(said.values()))


def test_a_quantizer_is_trained(traced: Traced, spoken: Path, encoder: list[Any]) -> None:
    options = ["--engine", "fairseq", "--train-quantizer", "km.npz", "--clusters", 5]
    assert traced.run("s2s", spoken, *encoder, *options) == set()


def test_a_quantizer_is_converted(traced: Traced, s2s_models: Path) -> None:
    command = ["convert-quantizer", s2s_models / "km.bin", "km.npz", "--trust"]
    assert traced.run(*command) == set()


def test_models_are_listed(traced: Traced) -> None:
    assert traced.run("models", "list") == set()
