"""What fairseq needs today: each shim, and the error that comes back without it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from speechkit.compat import fairseq_checkpoint, fairseq_shims, patched_imports
from speechkit.errors import EngineFailed, EngineMissing

pytestmark = pytest.mark.usefixtures("fairseq")

PRE = "import logging, sys; from speechkit.compat import patched_imports, fairseq_shims; "


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )


def load(path: Path) -> Any:
    utils = patched_imports.fairseq().checkpoint_utils
    (model,), _, _ = utils.load_model_ensemble_and_task([str(path)])
    return model


def without(monkeypatch: pytest.MonkeyPatch, shim: Callable[..., Any]) -> None:
    left = [one for one in fairseq_shims.MENDING if one is not shim]
    assert len(left) < len(fairseq_shims.MENDING)
    monkeypatch.setattr(fairseq_shims, "MENDING", left)


@pytest.fixture(scope="module")
def imported(s2s_models: Path) -> subprocess.CompletedProcess[str]:
    """A process that imports fairseq, looks at what that has left, and says so; then it loads a
    checkpoint by fairseq's own code."""
    return python(
        PRE + "import dataclasses; before = dataclasses.dataclass, logging.basicConfig; "
        "patched_imports.fairseq(); patched_imports.fairseq(); "
        "assert not logging.getLogger().handlers; "
        "assert before == (dataclasses.dataclass, logging.basicConfig); "
        "assert 'torchaudio' not in sys.modules; print('imported', flush=True); "
        "import importlib; utils = importlib.reload(patched_imports.fairseq().checkpoint_utils); "
        f"utils.load_checkpoint_to_cpu({str(s2s_models / 'hubert-dict.pt')!r})"
    )


def test_fairseq_is_imported_and_leaves_logging_and_dataclasses_alone(
    imported: subprocess.CompletedProcess[str],
) -> None:
    """With INFO messages of the user's own set-up, that is: none of fairseq's."""
    assert imported.stdout == "imported\n", imported.stderr
    assert "INFO" not in imported.stderr


def test_fairseqs_own_loading_fails(imported: subprocess.CompletedProcess[str]) -> None:
    assert "Unsupported global: GLOBAL fairseq.data.dictionary.Dictionary" in imported.stderr


def test_without_an_importing_shim() -> None:
    """In one process: the import that fails leaves nothing that the next one minds."""
    done = python(
        PRE + "shims = fairseq_shims.IMPORTING['fairseq']\n"
        "shims.remove(fairseq_shims.hashable_dataclasses)\n"
        "try: patched_imports.fairseq()\nexcept ValueError as e: print(e)\n"
        "shims.append(fairseq_shims.hashable_dataclasses)\n"
        "shims.remove(fairseq_shims.quiet_logging)\n"
        "patched_imports.fairseq(); print(logging.getLogger().handlers)"
    )
    assert done.returncode == 0, done.stderr
    error, *_, handlers = done.stdout.splitlines()
    assert "mutable default <class 'fairseq.dataclass.configs.CommonConfig'>" in error
    assert "StreamHandler" in handlers, "it took logging over"


def test_fairseq_imported_by_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fairseq", ModuleType("fairseq"))
    with pytest.raises(EngineFailed, match="has been imported without speechkit's shims"):
        patched_imports.fairseq()


@pytest.mark.parametrize("layout", ["dict", "dictconfig", "args", "bare", "norm"])
def test_every_layout_of_2021_loads(layout: str, s2s_models: Path) -> None:
    """With every weight as it was saved."""
    path = s2s_models / f"hubert-{layout}.pt"
    saved = fairseq_checkpoint.load_inert(path)["model"]
    loaded = load(path).state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


@pytest.mark.parametrize(
    ("shim", "error"),
    [
        (fairseq_shims.known_keys, "Key 'a_field_of_2021' not in 'HubertPretrainingConfig'"),
        (fairseq_shims.whole_numbers, "of type 'float' could not be converted to Integer"),
    ],
)
def test_without_a_mending_shim(
    shim: Any, error: str, s2s_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, shim)
    with pytest.raises(Exception, match=error):
        load(s2s_models / "hubert-dict.pt")


def test_without_dictionaries(s2s_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patched_imports, "_task_state", lambda _: {})
    with pytest.raises(FileNotFoundError, match=r"dict\.km\.txt"):
        load(s2s_models / "hubert-bare.pt")


def test_weight_norm_of_both_kinds(
    s2s_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved with torch's parametrisation of today, and with that of 2021: the same model."""
    state = fairseq_checkpoint.load_inert(s2s_models / "hubert-bare.pt")
    old = dict(state["model"])
    names = {"weight_g": "original0", "weight_v": "original1"}
    for ours, theirs in names.items():
        key = f"encoder.pos_conv.0.{ours}"
        state["model"][f"encoder.pos_conv.0.parametrizations.weight.{theirs}"] = old[key]
        del state["model"][key]
    path = tmp_path / "new.pt"
    torch.save(state, path)
    loaded = load(path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in old.items())
    without(monkeypatch, fairseq_shims.old_weight_norm)
    with pytest.raises(RuntimeError, match="weight_g"):
        load(path)


def hostile(source: Path, target: Path, mark: Path) -> Path:
    state = fairseq_checkpoint.load_inert(source)
    code = f"__import__('pathlib').Path({str(mark)!r}).touch() or [(32, 10, 5)]"
    state["cfg"]["model"]["conv_feature_layers"] = code
    torch.save(state, target)
    return target


def test_a_configuration_is_never_run(
    s2s_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "it ran"
    path = hostile(s2s_models / "hubert-bare.pt", tmp_path / "hostile.pt", mark)
    with pytest.raises(EngineMissing, match=r"hostile\.pt: refused, its conv_feature_layers"):
        load(path)
    assert not mark.exists()
    without(monkeypatch, fairseq_shims.parsed_convolutions)
    with pytest.raises(RuntimeError):
        load(path)
    assert mark.exists(), "fairseq does run it: the shim is what prevents that"


def test_layers_that_are_not_there_are_not_built(s2s_models: Path, tmp_path: Path) -> None:
    """fairseq itself would go on for hours."""
    path = tmp_path / "deep.pt"
    state = fairseq_checkpoint.load_inert(s2s_models / "hubert-bare.pt")
    state["cfg"]["model"]["encoder_layers"] = 10**7
    torch.save(state, path)
    with pytest.raises(EngineMissing, match=r"deep\.pt: .* says 10000000 layers, and it has 3"):
        load(path)


ORDERS = list(itertools.permutations(["fairseq", "nemo", "transformers"]))
IMPORT = {
    "fairseq": "patched_imports.fairseq()",
    "nemo": "import nemo.collections.asr",
    "transformers": "import transformers; transformers.HubertModel",
}


@pytest.mark.slow
def test_one_process_holds_them_in_any_order(seed: int, s2s_models: Path) -> None:
    """One of the six orders, and another each time."""
    order = ORDERS[seed % len(ORDERS)]
    done = python(
        PRE
        + "; ".join(IMPORT[name] for name in order)
        + "; from speechkit.engines import registry; "
        f"o = dict(model={str(s2s_models / 'hubert-dict.pt')!r}, layer=2, device='cpu'); "
        "import numpy as np; waveform = np.random.default_rng(1).normal(0, 0.1, 16000); "
        "waveform = waveform.astype(np.float32); "
        "a, b = (registry.create('s2s', name, **o).features([waveform])[0] "
        "for name in ('fairseq', 'transformers')); assert abs(a - b).max() < 1e-5"
    )
    assert done.returncode == 0, f"{order}\n{done.stderr}"
