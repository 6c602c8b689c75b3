"""Manifests written here, read by NeMo and by Hugging Face datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speechkit.records import Record
from sphinxkit import QUICK


@pytest.fixture(scope="module")
def manifests(
    speechkit: Any, examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Every kind of manifest that the stages write, of two voices."""
    folder = tmp_path_factory.mktemp("manifests")
    made = {name: folder / f"{name}.json" for name in ("manifest", "vad", "segments", "asr")}
    speechkit("manifest", examples / "awb", examples / "slt", "-o", made["manifest"])
    speechkit("vad", made["manifest"], "-o", made["vad"])
    speechkit("vad", made["manifest"], "--emit", "segments", "-o", made["segments"])
    speechkit("asr", made["vad"], *QUICK, "-o", made["asr"])
    return made


def lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.slow
def test_nemo_reads_them(manifests: dict[str, Path]) -> None:
    from nemo.collections.asr.parts.utils.manifest_utils import read_manifest
    from nemo.collections.common.parts.preprocessing import manifest as reader

    for name, path in manifests.items():
        own = lines(path)
        assert len(own) >= 4
        assert read_manifest(str(path)) == own
        items = list(reader.item_iter(str(path)))
        assert [item["audio_file"] for item in items] == [one["audio_filepath"] for one in own]
        assert [item["duration"] for item in items] == [one["duration"] for one in own]
        if name == "segments":
            assert [item["offset"] for item in items] == [one["offset"] for one in own]
        else:
            assert [item["text"] for item in items] == [one["text"] for one in own]


@pytest.mark.slow
def test_nemo_cuts_the_segments(manifests: dict[str, Path]) -> None:
    """The audio NeMo loads for a line of ``--emit segments`` is the audio we load for it."""
    import numpy as np
    from nemo.collections.asr.parts.preprocessing.segment import AudioSegment

    from speechkit.io import audio

    for line in lines(manifests["segments"]):
        stretch = {"offset": line["offset"], "duration": line["duration"]}
        theirs = AudioSegment.from_file(line["audio_filepath"], target_sr=16000, **stretch)
        ours = audio.load(line["audio_filepath"], sample_rate=16000, **stretch).waveform
        assert abs(len(theirs.samples) - len(ours)) <= 1
        n = min(len(theirs.samples), len(ours))
        assert np.corrcoef(theirs.samples[:n], ours[:n])[0, 1] > 0.99


@pytest.mark.slow
def test_datasets_loads_them(
    manifests: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    from datasets import load_dataset

    for path in manifests.values():
        cache = str(tmp_path / "cache")
        loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
        own = lines(path)
        assert loaded.num_rows == len(own)
        assert set(loaded.column_names) == set(own[0])
        assert loaded[0] == own[0]
        assert loaded["audio_filepath"][:] == [one["audio_filepath"] for one in own]


@pytest.mark.slow
def test_datasets_loads_a_run_with_failures(
    speechkit: Any, manifests: dict[str, Path], tmp_path: Path
) -> None:
    from datasets import load_dataset

    given = tmp_path / "in.jsonl"
    text = manifests["manifest"].read_text() + '{"audio_filepath": "none.wav", "text": "x"}\n'
    given.write_text(text)
    speechkit("vad", given, "-o", tmp_path / "vad.jsonl", code=3)
    files = str(tmp_path / "vad.jsonl")
    loaded = load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "c"))
    assert [one and one["type"] for one in loaded["error"]][-1] == "AudioNotFound"
    assert loaded["segments"][-1] is None
