"""HuBERT of base's geometry, layer 6: the engine in batches and one by one, beside transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import HubertConfig, HubertModel

from gpu_steps import watch
from gpu_steps.common import (
    Setting,
    cycled,
    samples_of,
    seconds_of,
    sentences,
    write_manifest,
)
from speechkit.engines import registry
from speechkit.engines.s2s import kmeans

LAYER, UNITS = 6, 100
UTTERANCES, WHOLE = 200, 2000  # in this process; by the command line
STEP = "s2s"


def run(setting: Setting, count: int | None) -> None:
    folder = _make(setting)
    utterances = cycled(sentences(setting), 4 if setting.tiny else UTTERANCES)
    waves = [samples_of(one) for one in utterances]
    units: dict[str, Any] = {}
    for what, size in (("speechkit, one by one", 1), ("speechkit, batch auto", 0)):
        with setting.trying(STEP, what):
            engine = _engine(setting, folder, size)
            engine.encode(waves[:2])
            taken = seconds_of(setting, lambda e=engine, w=what: units.update({w: e.encode(waves)}))
            note = f"batch {engine.device_use().batch_size}"
            setting.row(STEP, what, 1000 * taken / len(waves), "ms/utterance", note)
    with setting.trying(STEP, "transformers, one by one"):
        model: Any = HubertModel.from_pretrained(folder, num_hidden_layers=LAYER)
        model = model.to(setting.device).eval()
        torch.backends.cudnn.allow_tf32 = True  # its default, which the engine has changed
        taken = seconds_of(setting, lambda: _loop(setting, model, waves))
        setting.row(STEP, "transformers, one by one", 1000 * taken / len(waves), "ms/utterance")
    with setting.trying(STEP, "units equal in batches and alone"):
        alone, together = units.values()
        same = sum(a == b for a, b in zip(alone, together, strict=True))
        setting.row(STEP, "units equal in batches and alone", same, f"of {len(waves)}")
    with setting.trying(STEP, "speechkit s2s --units-only"):
        _command(setting, folder, count or (8 if setting.tiny else WHOLE))


def _make(setting: Setting) -> Path:
    folder = setting.work / "hubert"
    if not folder.is_dir():
        layers = {"num_hidden_layers": LAYER, "hidden_size": 96, "intermediate_size": 192}
        layers |= {"conv_dim": (32,) * 7}
        config = HubertConfig(**(layers if setting.tiny else {}))
        torch.manual_seed(1)
        with torch.device(setting.device):
            HubertModel(config).save_pretrained(folder)
        centroids = np.random.default_rng(1).normal(0, 1, (UNITS, config.hidden_size))
        kmeans.write(folder / "km.npz", centroids.astype(np.float32))
    return folder


def _engine(setting: Setting, folder: Path, size: int) -> Any:
    return registry.create(
        "s2s",
        "transformers",
        model=str(folder),
        layer=LAYER,
        quantizer=str(folder / "km.npz"),
        device=setting.device,
        batch_size=size,
    )


def _loop(setting: Setting, model: Any, waves: list[np.ndarray]) -> None:
    """As its documentation shows it, without the layers above."""
    with torch.inference_mode():
        for wave in waves:
            samples = torch.from_numpy(wave)[None].to(setting.device)
            model(samples).last_hidden_state.cpu()


def _command(setting: Setting, folder: Path, count: int) -> None:
    utterances = cycled(sentences(setting), count)
    manifest = write_manifest(setting.work / "s2s.jsonl", utterances)
    command = ["s2s", manifest, "--units-only", "--model", folder, "--layer", LAYER]
    command += ["--quantizer", folder / "km.npz", "--device", setting.device]
    found = watch.repeated(command, setting.work / "s2s.out.jsonl", setting.repeats)
    note = f"{len(utterances)} in {found.seconds:.1f} s, the first after {found.first:.1f} s"
    setting.row(STEP, "speechkit s2s --units-only", found.pace, "ms/utterance", note)
    setting.row(STEP, "speechkit s2s, GPU busy", found.busy, "%", found.waited_for)
