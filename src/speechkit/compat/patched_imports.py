"""The only imports of fairseq and textlesslib, with every shim in place."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from speechkit.compat import INSTALL_FAIRSEQ, INSTALL_TEXTLESS, fairseq_checkpoint, fairseq_shims
from speechkit.errors import EngineFailed, EngineMissing

#: Modules imported along with the package itself, while the shims are applied.
MODULES = {
    "fairseq": (
        "fairseq.checkpoint_utils",
        "fairseq.models.hubert.hubert",
        "fairseq.tasks.hubert_pretraining",
        "fairseq.models.text_to_speech.vocoder",
    ),
    "textless": ("textless.data.speech_encoder",),
}


def fairseq() -> ModuleType:
    """The package, able to load HuBERT checkpoints of 2021.

    Raise `EngineMissing` where it is not installed, `EngineFailed` where something else has
    imported it before.
    """
    return _import("fairseq", INSTALL_FAIRSEQ)


def textless() -> ModuleType:
    """textlesslib. Raise as `fairseq` does."""
    fairseq()
    return _import("textless", INSTALL_TEXTLESS)


def _import(name: str, install: str) -> ModuleType:
    present = sys.modules.get(name)
    if present is not None:
        if getattr(present, "_speechkit", False):
            return present
        raise EngineFailed(
            f"{name} has been imported without speechkit's shims, and can't be mended now; import "
            f"it by speechkit.compat.patched_imports.{name}() before anything else imports it"
        )
    with ExitStack() as stack:
        for shim in fairseq_shims.IMPORTING[name]:
            stack.enter_context(shim())
        try:
            package = importlib.import_module(name)
            for module in MODULES[name]:
                importlib.import_module(module)
        except ModuleNotFoundError as e:
            _forget(name)
            raise EngineMissing(f"{e}; install it with: {install}") from e
        except BaseException:
            _forget(name)
            raise
    if name == "fairseq":
        sys.modules["fairseq.checkpoint_utils"].load_checkpoint_to_cpu = _load  # type: ignore[attr-defined]
    package._speechkit = True  # type: ignore[attr-defined]
    return package


def _forget(name: str) -> None:
    """Remove the modules of a failed import: half a package would pass for a whole one."""
    for module in [loaded for loaded in sys.modules if f"{loaded}.".startswith(f"{name}.")]:
        del sys.modules[module]


def _load(path: str, arg_overrides: Any = None, load_on_all_ranks: bool = False) -> dict[str, Any]:
    """Replace fairseq's ``load_checkpoint_to_cpu``, which fails since torch 2.6: ``WeightsUnpickler
    error: Unsupported global: GLOBAL fairseq.data.dictionary.Dictionary``.

    `fairseq_checkpoint.read` looks up only configuration and numbers; fairseq then receives the
    state it expects, mended. Only HuBERT is supported.
    """
    from fairseq.models.hubert.hubert import HubertConfig  # type: ignore[import-untyped]
    from fairseq.tasks.hubert_pretraining import (  # type: ignore[import-untyped]
        HubertPretrainingConfig,
    )
    from omegaconf import OmegaConf

    saved = fairseq_checkpoint.read(Path(path))
    if saved.fine_tuned:
        raise EngineMissing(f"{path}: was fine-tuned for recognition; use --engine transformers")
    _require_layers(saved)
    for mend in fairseq_shims.MENDING:
        saved = mend(saved, HubertPretrainingConfig, HubertConfig)
    task = {**saved.task, "_name": "hubert_pretraining", "fine_tuning": False}
    model = {**saved.model, "_name": "hubert"}
    state = {
        "args": None,
        "cfg": OmegaConf.create({"task": task, "model": model}),
        "model": saved.weights,
    }
    return state | _task_state(saved)


def _require_layers(saved: fairseq_checkpoint.Checkpoint) -> None:
    """Refuse a wrong number of layers: fairseq builds them before it looks at the weights."""
    layers = {name.split(".")[2] for name in saved.weights if name.startswith("encoder.layers.")}
    configured = saved.model.get("encoder_layers") or len(layers)
    if configured != len(layers):
        raise EngineMissing(
            f"{saved.path}: its configuration says {configured} layers, and it has {len(layers)}"
        )


def _task_state(saved: fairseq_checkpoint.Checkpoint) -> dict[str, Any]:
    """Prevents ``FileNotFoundError: … dict.km.txt``: fairseq looks for the dictionaries of
    pre-training.

    Few checkpoints carry them and features don't need them, but their size is that of a weight.
    """
    from fairseq.data.dictionary import Dictionary  # type: ignore[import-untyped]

    embeddings = saved.weights.get("label_embs_concat")
    dictionaries = [Dictionary() for _ in saved.task.get("labels") or ["km"]]
    rows = len(embeddings) if embeddings is not None and embeddings.numel() else 0
    missing = rows - sum(map(len, dictionaries))
    for number in range(missing):
        dictionaries[0].add_symbol(str(number))
    return {"task_state": {"dictionaries": dictionaries}}


@contextmanager
def loading_errors(model: Path, package: str) -> Iterator[None]:
    """A context in which a package loads a checkpoint: its errors become `EngineMissing`.

    Its output is discarded, as are warnings that no user can act on.
    """
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, AssertionError) as e:
        if isinstance(e, torch.OutOfMemoryError):
            raise
        reason = " ".join(str(e).split())[:300]
        raise EngineMissing(f"{model}: {package} can't load it: {reason}") from e
