"""`speechkit asr --engine nemo` beside NeMo's transcribe(): FastConformer-CTC of 115 M parameters
with random weights, in the same precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpu_steps import watch
from gpu_steps.common import (
    Setting,
    cycled,
    samples_of,
    seconds_of,
    sentences,
    write_manifest,
)

BATCHES = (16, 32, 64, 128)
UTTERANCES, SWEPT = 2000, 500
STEP = "nemo ctc"
FAST = {
    **{"feat_in": 80, "n_layers": 17, "d_model": 512, "n_heads": 8, "conv_kernel_size": 9},
    **{"subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": 256},
    "causal_downsampling": False,
}


def run(setting: Setting, tokenizer: Path, count: int | None) -> None:
    from nemo.collections.asr.models import ASRModel

    file = _make(setting, tokenizer)
    utterances = cycled(sentences(setting), count or (4 if setting.tiny else UTTERANCES))
    manifest = write_manifest(setting.work / "nemo.jsonl", utterances)
    command = ["asr", manifest, "--engine", "nemo", "--model", file, "--device", setting.device]
    command += ["--no-timestamps"]  # which transcribe() doesn't compute, either
    with setting.trying(STEP, "speechkit"):
        found = watch.repeated(command, manifest.with_suffix(".out.jsonl"), setting.repeats)
        note = f"{found.batch}, {len(utterances)} utterances in {found.seconds:.1f} s"
        setting.row(STEP, "speechkit", found.pace, "ms/utterance", note)
        setting.row(STEP, "speechkit, first result after", found.first, "s")
        setting.row(STEP, "speechkit, GPU busy", found.busy, "%", found.waited_for)
    model: Any = ASRModel.restore_from(str(file), map_location=setting.device).eval()
    waves = list(map(samples_of, utterances[:SWEPT]))
    for size in (2,) if setting.tiny else BATCHES:
        with setting.trying(STEP, f"transcribe(), batch {size}"):
            taken = seconds_of(setting, lambda size=size: _transcribe(setting, model, waves, size))
            pace = 1000 * taken / len(waves)
            setting.row(STEP, f"transcribe(), batch {size}", pace, "ms/utterance")


def _transcribe(setting: Setting, model: Any, waves: list[np.ndarray], size: int) -> None:
    import torch

    lowered = setting.precision != "float32"
    with torch.autocast(setting.device, getattr(torch, setting.precision), enabled=lowered):
        heard = model.transcribe(waves, batch_size=size, num_workers=0, verbose=False)
    assert len(heard) == len(waves)


def _make(setting: Setting, tokenizer: Path) -> Path:
    from nemo.collections.asr.models import EncDecCTCModelBPE
    from omegaconf import DictConfig

    from tiny_models.nemo import CTC_DECODER, MODEL

    file = setting.work / "fastconformer.nemo"
    if not file.is_file():
        sizes = {**FAST, "n_layers": 2, "d_model": 64} if setting.tiny else FAST
        config = {
            **MODEL,
            "preprocessor": {**MODEL["preprocessor"], "features": sizes["feat_in"]},
            "encoder": {**MODEL["encoder"], **sizes},
            "decoder": {**CTC_DECODER, "feat_in": sizes["d_model"]},
            "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        }
        EncDecCTCModelBPE(DictConfig(config)).save_to(str(file))
    return file
