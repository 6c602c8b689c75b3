"""`embed search`, `embed dedup` and `embed probe`, after `embed` by the speaker encoder."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import soundfile

from runkit import records, write_manifest

if find_spec("resemblyzer") is None:
    pytest.skip("no resemblyzer: make setup", allow_module_level=True)

VOICES = 6


@pytest.fixture(scope="module")
def speech(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 utterances of six voices; one again, quieter; one that is not there."""
    folder = tmp_path_factory.mktemp("speech")
    lines = []
    for path in sorted((examples.parent / "digits").glob("*.flac")):
        voice, _, pace = path.stem.rpartition("-")
        shutil.copy(path, folder)
        line = {"audio_filepath": path.name, "id": path.stem, "speaker": voice, "pace": pace}
        lines.append(line)
    samples, rate = soundfile.read(folder / "awb-fast.flac")
    soundfile.write(folder / "again.flac", samples * 0.99, rate)
    lines += [{"audio_filepath": "again.flac", "speaker": "awb", "pace": "fast"}]
    lines += [{"audio_filepath": "gone.flac", "speaker": "awb", "pace": "fast"}]
    return write_manifest(folder / "in.jsonl", lines)


@pytest.fixture(scope="module")
def embedded(speechkit: Any, speech: Path) -> Path:
    folder = speech.with_name("vectors")
    speechkit("embed", speech, "--engine", "speaker", "--output-dir", folder, code=3)
    return folder


def test_search_finds_the_voice(speechkit: Any, speech: Path, embedded: Path) -> None:
    audio = speech.with_name("slt-even.flac")
    done = speechkit("embed", "search", embedded, audio, "awb-slow", 19, "-k", 3, "-o", "-", code=2)
    assert "19: row 19 has no vector, because its utterance failed" in done.err
    done = speechkit("embed", "search", embedded, audio, "awb-slow", "-k", 3, "-o", "-")
    found = records(done.out)
    assert [one["query"] for one in found] == [str(audio)] * 3 + ["awb-slow"] * 3
    assert [one["rank"] for one in found] == [1, 2, 3] * 2
    assert (found[0]["id"], found[0]["similarity"]) == ("slt-even", pytest.approx(1, abs=1e-5))
    assert {one["speaker"] for one in found[:3]} == {"slt"}
    assert {one["speaker"] for one in found[3:]} == {"awb"}
    assert "awb-slow" not in {one.get("id") for one in found[3:]}
    assert "1 row left out, because the utterance failed" in done.err
    listed = speechkit("embed", "search", embedded, audio, "awb-slow", "-k", 3, "--json")
    assert json.loads(listed.out) == found
    table = speechkit("embed", "search", embedded, "awb-slow").out.decode()
    assert table.splitlines()[0].split() == ["query", "rank", "similarity", "utterance", "text"]


def test_audio_that_can_not_be_searched_for(speechkit: Any, speech: Path, embedded: Path) -> None:
    done = speechkit("embed", "search", embedded, speech, code=2)
    assert "in.jsonl: " in done.err
    done = speechkit("embed", "search", embedded, "0", "--vectors", "text", code=2)
    assert "has no vectors named text; there are: embeddings" in done.err
    done = speechkit("embed", "search", speech.parent, "0", code=2)
    assert "holds no index.jsonl" in done.err


def test_dedup_keeps_the_first(speechkit: Any, embedded: Path, tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.jsonl", tmp_path / "groups.jsonl"
    done = speechkit("embed", "dedup", embedded, "--threshold", 0.999, "--keep", kept, "-o", out)
    (group,) = records(out)
    assert group["keep"] == {"name": "awb-fast", "line": 1}
    (duplicate,) = group["duplicates"]
    assert duplicate["name"].endswith("again.flac")
    assert duplicate["line"] == 18
    assert duplicate["similarity"] > 0.999
    index = records(embedded / "index.jsonl")
    assert records(kept) == index[:18]
    text = done.out.decode()
    assert "20 utterances: 18 kept, 1 near duplicate of 1 of them" in text
    assert "1 row left out" in text


def test_probe_reads_the_voice(speechkit: Any, embedded: Path) -> None:
    done = speechkit("embed", "probe", embedded, "--label", "speaker", "--folds", 3, "--json")
    found = json.loads(done.out)
    assert (found["accuracy"], found["utterances"], found["left_out"]) == (1.0, 19, 1)
    assert found["baseline"] == pytest.approx(4 / 19, abs=1e-6)
    assert found["speakers_apart"] is False
    assert [sum(row) for row in found["confusion"]] == [4] + [3] * (VOICES - 1)
    text = speechkit("embed", "probe", embedded, "--label", "pace").out.decode()
    assert "4 folds, speakers kept apart: " in text
    assert "--label: needed" in speechkit("embed", "probe", embedded, code=2).err
