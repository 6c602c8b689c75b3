"""The compat door with the omegaconf and the hydra that fairseq itself asks for, and what these
have saved in the ordinary environment.

``python test_old_hydra.py MODELS FOLDER`` is what runs with the old ones: it saves features in
FOLDER, and a checkpoint whose configuration is a DictConfig of omegaconf 2.0.6.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from speechkit.compat import fairseq_checkpoint, fairseq_shims, patched_imports
from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / ".cache" / "old-hydra"
PACKAGES = ("omegaconf", "hydra-core", "antlr4-python3-runtime")
NAMES = ("hubert-dict", "hubert-args", "hubert-bare", "hubert-norm")
SAVED = "saved-by-2.0.6.pt"
ENGINES = ("fairseq", "transformers")

pytestmark = pytest.mark.slow

Features = dict[str, NDArray[np.float32]]


def features(models: Path, folder: Path) -> Features:
    """Of each checkpoint by each engine."""
    waveform = np.random.default_rng(1).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    found = {}
    for path in (*(models / f"{name}.pt" for name in NAMES), folder / SAVED):
        for name in ENGINES:
            engine = registry.create("s2s", name, model=str(path), layer=2, device="cpu")
            (frames,) = engine.features([waveform])
            found[f"{path.stem} by {name}"] = np.asarray(frames)
    return found


def import_without_shim() -> str:
    """The error of fairseq's import when its dataclasses stay as they are."""
    left = [
        one
        for one in fairseq_shims.IMPORTING["fairseq"]
        if one is not fairseq_shims.hashable_dataclasses
    ]
    with mock.patch.dict(fairseq_shims.IMPORTING, fairseq=left):
        try:
            patched_imports.fairseq()
        except ValueError as e:
            return str(e)
    return ""


def main(models: Path, folder: Path) -> None:
    error = import_without_shim()
    patched_imports.fairseq()
    state = fairseq_checkpoint.load_inert(models / "hubert-dict.pt")
    del state["task_state"]
    torch.save({**state, "cfg": OmegaConf.create(state["cfg"])}, folder / SAVED)
    np.savez(folder / "features.npz", **features(models, folder))
    facts = {"error": error, "versions": [version(package) for package in PACKAGES]}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture(scope="session")
def old_hydra() -> Path:
    """A folder for PYTHONPATH."""
    if not OLD.is_dir():
        pytest.skip(f"no {OLD}: scripts/old_hydra.sh {OLD.relative_to(ROOT)}")
    return OLD


@pytest.fixture(scope="module")
def left_by_old(
    old_hydra: Path, s2s_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the old environment has saved."""
    folder = tmp_path_factory.mktemp("old-hydra")
    done = subprocess.run(
        [sys.executable, __file__, str(s2s_models), str(folder)],
        env={**os.environ, "PYTHONPATH": str(old_hydra)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_without_the_shim_fairseq_is_not_imported(left_by_old: Path) -> None:
    """And with it the next import succeeds, in the same process."""
    facts = json.loads((left_by_old / "facts.json").read_text("utf-8"))
    assert facts["versions"] == ["2.0.6", "1.0.7", "4.8"]
    assert ("mutable default" in facts["error"]) == (sys.version_info >= (3, 11))


def test_features_are_those_of_the_ordinary_environment(
    left_by_old: Path, s2s_models: Path
) -> None:
    assert version("omegaconf") != "2.0.6"
    ordinary = features(s2s_models, left_by_old)
    with np.load(left_by_old / "features.npz") as old:
        assert set(old) == set(ordinary)
        for name, frames in ordinary.items():
            assert frames.shape == (49, 64)
            np.testing.assert_allclose(old[name], frames, rtol=0, atol=1e-5, err_msg=name)


def test_an_old_dictconfig_is_read(left_by_old: Path, s2s_models: Path) -> None:
    path = left_by_old / SAVED
    found, plain = (
        fairseq_checkpoint.read(path),
        fairseq_checkpoint.read(s2s_models / "hubert-dict.pt"),
    )
    assert isinstance(fairseq_checkpoint.load_inert(path)["cfg"], DictConfig)
    assert (found.model, found.task) == (plain.model, plain.task)
    assert set(found.weights) == set(plain.weights)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
