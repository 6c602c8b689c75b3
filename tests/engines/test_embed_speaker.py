"""The speaker encoder: as Resemblyzer's own, without torch, from its weights and no others."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

from speechkit.engines import registry
from speechkit.engines.embed.speaker import weights
from speechkit.engines.embed.speaker.spectrogram import mel_spectrogram, raised
from speechkit.errors import EngineMissing
from speechkit.io import packaged_models

try:
    metadata.distribution("resemblyzer")
except metadata.PackageNotFoundError:
    pytest.skip(f"no resemblyzer: {weights.INSTALL}", allow_module_level=True)


@pytest.fixture(scope="module")
def speaker() -> Any:
    return registry.create("embed", "speaker")


def heard(path: Path) -> Any:
    return soundfile.read(path, dtype="float32")[0]


def vectors(speaker: Any, waves: Any) -> Any:
    return speaker.finish(np.stack([one.vector for one in speaker.pool(waves)]))["embeddings"]


def equal_error_rate(found: Any, names: Any) -> float:
    """Of all pairs: where as many of different speakers are accepted as of the same rejected."""
    one, other = np.triu_indices(len(found), 1)
    same = np.asarray(names)[one] == np.asarray(names)[other]
    order = np.argsort(-(found @ found.T)[one, other])
    accepted = np.cumsum(~same[order]) / (~same).sum()
    rejected = 1 - np.cumsum(same[order]) / same.sum()
    place = np.abs(accepted - rejected).argmin()
    return float(accepted[place] + rejected[place]) / 2


def rand_index(found: Any, names: Any) -> float:
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import adjusted_rand_score

    clusters = AgglomerativeClustering(len({*names}), metric="cosine", linkage="average")
    return float(adjusted_rand_score(names, clusters.fit_predict(found)))


def test_voices_are_told_apart(speaker: Any, examples: Path) -> None:
    paths = sorted((examples.parent / "digits").glob("*.flac"))
    names = [path.stem.rpartition("-")[0] for path in paths]
    found = vectors(speaker, [heard(path) for path in paths])
    assert (len(paths), len({*names})) == (18, 6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert rand_index(found, names) == 1


@pytest.mark.slow
def test_speakers_of_librispeech(speaker: Any, data: Path) -> None:
    paths = sorted((data / "librispeech").glob("*.flac"))
    names = [path.stem.partition("-")[0] for path in paths]
    assert (len(paths), len({*names})) == (50, 5)
    found = vectors(speaker, [heard(path)[: 16_000 * 8] for path in paths])
    assert equal_error_rate(found, names) <= 0.01
    assert rand_index(found, names) >= 0.95


def test_a_vector_is_the_same_in_any_company(speaker: Any, examples: Path) -> None:
    samples = heard(examples / "awb" / "winter.flac")
    waves = [samples[: int(16_000 * seconds)] for seconds in (0.03, 0.5, 1.6, 1.7, 3.0)] * 13
    alone = np.stack([vectors(speaker, [wave])[0] for wave in waves])
    for size in (7, 64):
        parts = [waves[first : first + size] for first in range(0, len(waves), size)]
        together = np.concatenate([vectors(speaker, part) for part in parts])
        np.testing.assert_allclose(together, alone, atol=1e-4)


def test_silence_and_noise_have_vectors(speaker: Any) -> None:
    waves = [np.zeros(16_000, np.float32), np.full(speaker.shortest, 1e-30, np.float32)]
    assert np.isfinite(vectors(speaker, waves)).all()


@pytest.mark.usefixtures("quick_librosa")
def test_mel_spectra_are_librosas(examples: Path) -> None:
    librosa = pytest.importorskip("librosa")
    samples = np.tile(heard(examples / "slt" / "coffee.flac"), 12)  # in several pieces
    theirs = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=400, hop_length=160, n_mels=40
    )
    assert theirs.shape[1] > 3000
    np.testing.assert_allclose(mel_spectrogram(samples, theirs.shape[1]).T, theirs, atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_librosa")
def test_vectors_are_resemblyzers(
    speaker: Any, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same samples: its detector of silence, which is not compared, stays out."""
    import scipy.ndimage

    morphology: Any = types.ModuleType("scipy.ndimage.morphology")
    morphology.binary_dilation = scipy.ndimage.binary_dilation
    monkeypatch.setitem(sys.modules, "scipy.ndimage.morphology", morphology)
    monkeypatch.setitem(sys.modules, "webrtcvad", types.ModuleType("webrtcvad"))
    package = pytest.importorskip("resemblyzer")
    theirs = package.VoiceEncoder("cpu", verbose=False)
    for path in sorted(examples.glob("[ak]*/*.flac")):
        samples = heard(path) * np.float32(0.1)
        louder = package.audio.normalize_volume(samples, -30, increase_only=True)
        np.testing.assert_allclose(raised(samples), louder, rtol=1e-4)
        (ours,) = vectors(speaker, [samples])
        np.testing.assert_allclose(ours, theirs.embed_utterance(louder), atol=1e-4)


def test_heads_without_torch(tmp_path: Path, examples: Path) -> None:
    """In a process of its own, whose modules are then looked at."""
    random = np.random.default_rng(1)
    first, second = (
        random.normal(0, 0.1, shape).astype(np.float32) for shape in ((9, 256), (2, 9))
    )
    path = tmp_path / "head.safetensors"
    save_file({"0.weight": first, "2.weight": second}, path, {"activation": "relu"})
    script = f"""
import sys
import numpy as np
from speechkit.engines import registry
made = registry.create("embed", "speaker", adapter=(("small", {str(path)!r}),))
one = np.random.default_rng(2).normal(0, 0.1, 20000).astype(np.float32)
found = made.finish(made.pool([one])[0].vector[None])
np.savez({str(tmp_path / "found.npz")!r}, **found)
assert "torch" not in sys.modules and "resemblyzer" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    found = np.load(tmp_path / "found.npz")
    expected = np.maximum(found["embeddings"] @ first.T, 0) @ second.T
    np.testing.assert_allclose(found["small"], expected, atol=1e-6)


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def legacy(content: Any) -> bytes:
    """A file of torch's format before 1.6, without tensors."""
    file = io.BytesIO()
    for part in (weights.MAGIC, weights.PROTOCOL, {"little_endian": True}, content, []):
        pickle.dump(part, file, protocol=2)
    return file.getvalue()


def test_another_file_in_the_place_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pretrained.pt"
    path.write_bytes(legacy(Hostile(tmp_path / "ran")))
    monkeypatch.setattr(packaged_models, "installed_file", lambda *_: path)
    with pytest.raises(EngineMissing, match=r"sha256 .* should be 39373b86.*install it anew: pip"):
        registry.create("embed", "speaker")
    assert not (tmp_path / "ran").exists()


def test_no_code_is_run_even_with_the_hash(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"refused, it asks for (posix|nt).mkdir"):
        weights.tensors(legacy(Hostile(tmp_path / "ran")))
    assert not (tmp_path / "ran").exists()


def test_tensors_stay_inside_their_storage() -> None:
    stored = np.zeros(6, np.float32)
    assert weights._array(stored, 0, (2, 3), (3, 1)).shape == (2, 3)
    for given in ((1, (2, 3), (3, 1)), (0, (7,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,))):
        with pytest.raises(pickle.UnpicklingError, match="beyond its storage"):
            weights._array(stored, *given)


def test_the_package_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(EngineMissing, match=r"pip install --no-deps resemblyzer==0.1.4"):
        weights.read()
