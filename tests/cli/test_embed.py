"""Embeddings from speech to shards, with the light engine of `spectral`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import spectral
import speechkit
from audiokit import cut_speech
from embedkit import embed, installed, register
from runkit import records, tree, write_manifest
from speechkit.engines import registry
from speechkit.engines.embed.options import parse_adapters
from speechkit.errors import EngineMissing, OutputConflict, UsageError
from speechkit.io import audio, decoding
from speechkit.io.embedding_shards import load_embeddings
from speechkit.stages.embed.output_folder import OutputFolder
from speechkit.stages.embed.vectors import joined, windows


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 utterances, of which the numbers 0, 5 and 11 can't be embedded."""
    folder = cut_speech(tmp_path_factory.mktemp("speech"), 24, longest=1.2, seed=5)
    lines = [{"audio_filepath": str(path)} for path in sorted(folder.glob("*/*.wav"))]
    short = folder / "short.wav"
    soundfile.write(short, np.zeros(300), 16_000)
    lines[0]["audio_filepath"] = str(folder / "gone.wav")
    lines[5]["audio_filepath"] = str(short)
    lines[11] = {"audio_filepath": str(write_manifest(folder / "text.wav", [{}]))}
    for number, line in enumerate(lines):
        line["id"] = f"../../{number}"
    return write_manifest(folder / "in.jsonl", lines)


FAILED = {0: "AudioNotFound", 5: "AudioTooShort", 11: "AudioUnreadable"}


@pytest.fixture(autouse=True)
def _spectral(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def test_n_utterances_give_n_rows_in_order(speechkit: Any, speech: Path, tmp_path: Path) -> None:
    env = installed(tmp_path / "site")
    folder = tmp_path / "there" / "vectors"
    command = ["embed", speech, "--engine", "spectral", "--heads", "one,two", "--workers", 2]
    command += ["--output-dir", folder, "--shard-rows", 10]
    done = speechkit(*command, code=3, env=env)
    assert not done.out
    assert "24 utterances, 3 failed" in done.err
    found = load_embeddings(folder)
    source = records(speech)
    assert [record["id"] for record in found.records] == [line["id"] for line in source]
    assert [(record["shard"], record["row"]) for record in found.records] == [
        divmod(index, 10) for index in range(24)
    ]
    errors = {n: one["error"]["type"] for n, one in enumerate(found.records) if "error" in one}
    assert errors == FAILED
    assert found.names == ("embeddings", "one", "two")
    assert found.failed == [*FAILED]
    assert [found.vectors(name).shape for name in found.names] == [(24, 16), (24, 2), (24, 3)]
    for index, line in enumerate(source):
        expected = np.full(16, np.nan)
        if index not in FAILED:
            samples, rate = soundfile.read(line["audio_filepath"], dtype="float32")
            loaded = audio.load(line["audio_filepath"], sample_rate=16_000).waveform
            assert len(loaded) == pytest.approx(len(samples) * 16_000 / rate, abs=2)
            expected = spectral.Spectral(spectral.SpectralOptions()).pool([loaded])[0].vector
        assert np.array_equal(found.array[index], expected, equal_nan=True), index
    assert {path.name for path in tmp_path.iterdir()} == {"site", "there"}
    assert {path.name for path in folder.parent.iterdir()} == {"vectors"}
    before = tree(folder)
    again = speechkit(*command, code=3, env=env)
    assert "complete already, nothing computed" in again.err
    assert tree(folder) == before


def test_a_manifest_that_grows_gains_rows(speech: Path, tmp_path: Path) -> None:
    """Only what is new is computed, and it ends as if all had been there at once, in batches of
    another size."""
    lines = records(speech)
    folder, clean = tmp_path / "grown", tmp_path / "clean"
    before = 0
    for count in (9, 24):
        source = write_manifest(tmp_path / f"{count}.jsonl", lines[:count])
        summary = embed(source, folder, shard_rows=6, batch_size=7, workers=2)
        tried_again = sum(index < before for index in FAILED)
        assert summary.done == count - before + tried_again
        before = count
    embed(source, clean, shard_rows=6, batch_size=1, workers=1)
    assert tree(folder) == tree(clean)
    for other in (lines[1:], [*lines[:5], *lines[6:], *lines]):
        changed = write_manifest(tmp_path / "other.jsonl", [dict(line) for line in other])
        with pytest.raises(OutputConflict, match=r"input|other utterances"):
            embed(changed, folder, shard_rows=6)
    with pytest.raises(OutputConflict, match="shard_rows 6, now 7"):
        embed(source, folder, shard_rows=7)
    assert tree(folder) == tree(clean)


def test_failures_are_retried_in_place(speech: Path, tmp_path: Path) -> None:
    mended = tmp_path / "speech"
    shutil.copytree(speech.parent, mended)
    lines = [
        {**line, "audio_filepath": line["audio_filepath"].replace(str(speech.parent), str(mended))}
        for line in records(speech)
    ]
    source, folder = write_manifest(tmp_path / "in.jsonl", lines), tmp_path / "vectors"
    embed(source, folder, shard_rows=5)
    untouched = (folder / "embeddings-00003.npy").stat().st_ino
    shutil.copy(lines[1]["audio_filepath"], mended / "gone.wav")
    assert embed(source, folder, shard_rows=5, retry_failed=True).done == 3
    found = load_embeddings(folder)
    assert found.failed == [5, 11]
    assert np.array_equal(found.array[0], found.array[1])
    assert (folder / "embeddings-00003.npy").stat().st_ino == untouched
    clean = tmp_path / "clean"
    embed(source, clean, shard_rows=5)
    assert tree(folder) == tree(clean)


def test_rows_that_are_gone_are_computed_again(speech: Path, tmp_path: Path) -> None:
    embed(speech, tmp_path / "vectors", shard_rows=10)
    whole = tree(tmp_path / "vectors")
    (tmp_path / "vectors" / "embeddings-00001.npy").unlink()
    with pytest.raises(OutputConflict, match=r"embeddings-00001\.npy: lost or damaged .*--retry"):
        embed(speech, tmp_path / "vectors", shard_rows=10)
    again = embed(speech, tmp_path / "vectors", shard_rows=10, retry_failed=True)
    assert again.done == len({*FAILED, *range(10, 20)})
    assert tree(tmp_path / "vectors") == whole


def test_restart_replaces_vectors_of_another_kind(speech: Path, tmp_path: Path) -> None:
    folder, clean = tmp_path / "vectors", tmp_path / "clean"
    embed(speech, folder, {"heads": "one"}, shard_rows=10)
    with pytest.raises(OutputConflict, match="width None, now 9"):
        embed(speech, folder, {"width": 9, "heads": "one"}, shard_rows=10)
    source = write_manifest(tmp_path / "few.jsonl", records(speech)[:12])
    for target in (folder, clean):
        restart = target == folder
        embed(source, target, {"width": 9}, dtype="float16", restart=restart)
    assert tree(folder) == tree(clean)
    assert load_embeddings(folder).array.dtype == np.float16


def test_vectors_that_are_not_finite_are_errors(speech: Path, tmp_path: Path) -> None:
    summary = embed(speech, tmp_path / "vectors", {"broken": 0.7})
    found = load_embeddings(tmp_path / "vectors")
    long = [
        number
        for number, line in enumerate(records(speech))
        if number not in FAILED and soundfile.info(line["audio_filepath"]).duration > 0.7
    ]
    assert 3 < len(long) < 20
    assert summary.errors["EmbeddingInvalid"] == len(long)
    assert np.isnan(found.array).all(axis=1).nonzero()[0].tolist() == sorted([*FAILED, *long])
    assert found.failed == sorted([*FAILED, *long])


@pytest.mark.parametrize(("most", "size"), [(3, 2), (-1, 1)])
def test_memory_that_runs_out(most: int, size: int, speech: Path, tmp_path: Path) -> None:
    """Halved and remembered; what does not fit alone fails alone."""
    summary = embed(speech, tmp_path / "vectors", {"most": most}, workers=1)
    assert summary.device["batch_size"] == size
    too_large = {} if most > 0 else {"OutOfMemory": 24 - len(FAILED)}
    assert summary.errors == dict.fromkeys(FAILED.values(), 1) | too_large


def test_windows_of_a_long_recording_are_joined_by_their_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded in stretches: what is held never depends on its length."""
    rate = 16_000
    samples = np.random.default_rng(1).integers(-3000, 3000, 100 * rate + 77, np.int16)
    path = tmp_path / "long.wav"
    soundfile.write(path, samples, rate)
    monkeypatch.setattr(decoding, "KEPT", 60.0)
    monkeypatch.setattr(decoding, "STRETCH", 25.0)
    loaded = audio.load(str(path), sample_rate=rate)
    assert loaded.is_long
    cut = list(windows(loaded, 7 * rate))
    assert {len(window) for window in cut} == {len(samples) // 15, len(samples) // 15 + 1}
    assert np.array_equal(np.concatenate(cut), samples.astype(np.float32) / 32768)
    embed(path, tmp_path / "vectors", {"longest": 7.0})
    pooled = spectral.Spectral(spectral.SpectralOptions()).pool(cut)
    (row,) = load_embeddings(tmp_path / "vectors").array
    assert np.array_equal(row, joined(pooled, "mean"))
    vectors = np.array([one.vector for one in pooled], np.float64)
    frames = np.array([one.frames for one in pooled])
    assert row == pytest.approx(frames @ vectors / frames.sum(), rel=1e-6)
    assert np.array_equal(joined(pooled, "max"), vectors.max(axis=0))


def test_results_come_from_the_index(speech: Path, tmp_path: Path) -> None:
    """There is no stream of results without the files, and no other place for the index."""
    chosen = speechkit.EmbedOptions(folder=str(tmp_path / "vectors"), engine="spectral")
    found = list(speechkit.results(speechkit.embed_stage(chosen), [speech]))
    assert found == load_embeddings(tmp_path / "vectors").records
    with pytest.raises(UsageError, match=r"embed writes to .*vectors/index\.jsonl"):
        embed(speech, tmp_path / "vectors", output=str(tmp_path / "out.jsonl"))


def test_what_the_options_lack_is_said(speechkit: Any, speech: Path, tmp_path: Path) -> None:
    done = speechkit("embed", speech, code=2)
    assert "--output-dir: needed" in done.err
    done = speechkit("embed", speech, "--output-dir", tmp_path, "--dtype", "int8", code=2)
    assert "--dtype int8: there are float32, float16" in done.err
    done = speechkit("embed", speech, "--output-dir", tmp_path, "--engine", "no", code=2)
    assert "no embed engine 'no'" in done.err


def test_another_model_or_head_under_the_same_path_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "require_installed", lambda info: None)
    monkeypatch.chdir(tmp_path)
    model, head = tmp_path / "model", tmp_path / "head.safetensors"
    model.mkdir()
    (model / "config.json").write_text("{}")
    for path in (model / "model.safetensors", head):
        path.write_bytes(bytes(100))

    def pinned(name: str = "model") -> Any:
        options = {"adapter": (("one", str(head)),)}
        chosen = speechkit.EmbedOptions(folder="v", model=name, engine_options=options)
        return speechkit.embed_stage(chosen).options

    before = pinned()
    assert pinned("./model") == pinned(str(model)) == before
    for path in (head, model / "model.safetensors", model / "config.json"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"\1")
        assert pinned() != before
        path.write_bytes(content)
        assert pinned() == before
    head.unlink()
    with pytest.raises(EngineMissing, match=r"--adapter one=.*head.safetensors: no such file"):
        pinned()


def test_names_of_adapters(tmp_path: Path) -> None:
    """Names of files, of which none that a user has is written over."""
    with pytest.raises(ValueError, match="no name: 1 to 100 letters"):
        parse_adapters(f"{'n' * 101}=head.safetensors")
    foreign = tmp_path / "text-00000.npy"
    foreign.touch()
    folder = OutputFolder(tmp_path, "float32", 10)
    with pytest.raises(OutputConflict, match=r"text-00000\.npy: no run of speechkit has"):
        folder.claim(["embeddings", "text"], restart=False)
    folder.claim(["embeddings", "text"], restart=True)
    folder.claim(["embeddings", "text"], restart=False)
