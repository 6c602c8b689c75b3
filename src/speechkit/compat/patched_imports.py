"""The only door through which fairseq and textlesslib are imported, with every shim in place."""

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

from speechkit.compat import INSTALL_FAIRSEQ, INSTALL_TEXTLESS, checkpoint, shims
from speechkit.errors import EngineFailed, EngineMissing

#: What is imported beside the package itself, while the shims are in force.
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

    Raises `EngineMissing` where it is not installed, `EngineFailed` where something else has
    imported it before.
    """
    return _through("fairseq", INSTALL_FAIRSEQ)


def textless() -> ModuleType:
    """textlesslib. Raises as `fairseq` does."""
    fairseq()
    return _through("textless", INSTALL_TEXTLESS)


def _through(name: str, install: str) -> ModuleType:
    present = sys.modules.get(name)
    if present is not None:
        if getattr(present, "_speechkit", False):
            return present
        raise EngineFailed(
            f"{name} has been imported without speechkit's shims, and can't be mended now; import "
            f"it by speechkit.compat.patched_imports.{name}() before anything else imports it"
        )
    with ExitStack() as stack:
        for shim in shims.IMPORTING[name]:
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
    """What a failed import has left: half a package would pass for a whole one."""
    for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[module]


def _load(path: str, arg_overrides: Any = None, load_on_all_ranks: bool = False) -> dict[str, Any]:
    """In the place of fairseq's ``load_checkpoint_to_cpu``: ``WeightsUnpickler error: Unsupported
    global: GLOBAL fairseq.data.dictionary.Dictionary``, since torch 2.6.

    `checkpoint.read` looks nothing up but configuration and numbers; fairseq then gets what it
    expects, mended. Only HuBERT is known.
    """
    from fairseq.models.hubert.hubert import HubertConfig  # type: ignore[import-untyped]
    from fairseq.tasks.hubert_pretraining import (  # type: ignore[import-untyped]
        HubertPretrainingConfig,
    )
    from omegaconf import OmegaConf

    found = checkpoint.read(Path(path))
    if found.fine_tuned:
        raise EngineMissing(f"{path}: was fine-tuned for recognition; use --engine transformers")
    _require_layers(found)
    for mend in shims.MENDING:
        found = mend(found, HubertPretrainingConfig, HubertConfig)
    task = {**found.task, "_name": "hubert_pretraining", "fine_tuning": False}
    model = {**found.model, "_name": "hubert"}
    state = {
        "args": None,
        "cfg": OmegaConf.create({"task": task, "model": model}),
        "model": found.weights,
    }
    return state | _task_state(found)


def _require_layers(found: checkpoint.Checkpoint) -> None:
    """fairseq builds as many as the configuration says before it looks at the weights."""
    here = {name.split(".")[2] for name in found.weights if name.startswith("encoder.layers.")}
    said = found.model.get("encoder_layers") or len(here)
    if said != len(here):
        raise EngineMissing(
            f"{found.path}: its configuration says {said} layers, and it has {len(here)}"
        )


def _task_state(found: checkpoint.Checkpoint) -> dict[str, Any]:
    """``FileNotFoundError: … dict.km.txt``: fairseq looks for the dictionaries of pre-training,
    which few checkpoints carry and features don't need, but whose size is that of a weight."""
    from fairseq.data.dictionary import Dictionary  # type: ignore[import-untyped]

    embeddings = found.weights.get("label_embs_concat")
    dictionaries = [Dictionary() for _ in found.task.get("labels") or ["km"]]
    rows = len(embeddings) if embeddings is not None and embeddings.numel() else 0
    missing = rows - sum(map(len, dictionaries))
    for number in range(missing):
        dictionaries[0].add_symbol(str(number))
    return {"task_state": {"dictionaries": dictionaries}}


@contextmanager
def sentences(model: Path, package: str) -> Iterator[None]:
    """While a package loads a checkpoint: what it fails with becomes `EngineMissing`, and what it
    prints is lost, as are warnings that nobody can heed."""
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, AssertionError) as e:
        if isinstance(e, torch.OutOfMemoryError):
            raise
        reason = " ".join(str(e).split())[:300]
        raise EngineMissing(f"{model}: {package} can't load it: {reason}") from e
