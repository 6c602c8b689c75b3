"""Several GPUs, and models from the machine's own disk, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from speechkit.engines.torch import device as torch_device


def test_gpus_that_nothing_sees(
    speechkit: Any, untrained: dict[str, Path], examples: Path, tmp_path: Path
) -> None:
    model = ("--engine", "whisper", "--model", untrained["whisper"])
    out = tmp_path / "out.jsonl"
    done = speechkit("asr", examples, *model, "--devices", "0,1", "-o", out, code=2)
    assert "sees no CUDA device" in done.err
    done = speechkit("asr", examples, *model, "--devices", "0,1", "--workers", 3, "-o", out, code=2)
    assert "--devices starts one per GPU" in done.err
    done = speechkit(
        *("asr", examples, "--engine", "pocketsphinx"), "--devices", "0", "-o", out, code=2
    )
    assert "not for the engine pocketsphinx" in done.err


def test_a_model_from_the_own_disk(
    speechkit: Any, untrained: dict[str, Path], examples: Path, tmp_path: Path
) -> None:
    """The results are the same, and the run is: it can go on without."""
    model = untrained["faster-whisper"]
    command = ["asr", examples, "--engine", "faster-whisper", "--model", model]
    command += ["--language", "en", "--limit", 4]
    there, copied = tmp_path / "there.jsonl", tmp_path / "copied.jsonl"
    summary = tmp_path / "summary.json"
    said = speechkit(*command, "-o", there, "--summary", summary).err
    require_times(json.loads(summary.read_text()), said)
    speechkit(*command, "-o", copied, "--copy-models-to", tmp_path / "disk")
    assert copied.read_bytes() == there.read_bytes()
    (folder,) = (tmp_path / "disk").glob("speechkit-models-*/*/*/")
    assert {path.name for path in model.iterdir()} == {p.name for p in folder.iterdir()}
    assert "complete already" in speechkit(*command, "-o", copied).err


def require_times(summary: dict[str, Any], said: str) -> None:
    assert 0 < summary["first_result_seconds"] <= summary["wall_seconds"]
    assert f"the first result after {summary['first_result_seconds']:.1f} s" in said
    shares = summary["device"]["waited_for"]
    assert {"audio", "other"} < {*shares}
    assert all(share >= 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.001)
    assert f"waited for: {next(iter(shares))} " in said


def test_a_vocoder_and_a_hubert_from_the_own_disk(
    speechkit: Any, s2s_models: Path, examples: Path, tmp_path: Path
) -> None:
    command = ["s2s", examples / "slt", "--model", s2s_models / "hubert-six.pt", "--layer", 6]
    command += ["--quantizer", s2s_models / "km.npz", "--vocoder", s2s_models / "vocoder" / "g.pt"]
    for name, more in (("there", []), ("copied", ["--copy-models-to", tmp_path / "disk"])):
        speechkit(*command, "--output-dir", tmp_path / name, *more)
    made = sorted((tmp_path / "there").rglob("*.wav"))
    assert made
    for path in made:
        same = tmp_path / "copied" / path.relative_to(tmp_path / "there")
        assert same.read_bytes() == path.read_bytes()
    copies = {path.name for path in (tmp_path / "disk").glob("speechkit-models-*/*/*")}
    assert copies == {"hubert-six.pt", "g.pt"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("GET was unable to find an engine to execute this computation", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_means_that_memory_has_run_out(message: str, expected: bool) -> None:
    assert torch_device.out_of_memory(RuntimeError(message)) == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])  # a vocoder is float32 beside it
def test_convolutions_in_float32_are_not_rounded(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch_device.dtype(precision, torch.device("cpu"), "s2s")
    assert torch.backends.cudnn.allow_tf32
    torch_device.dtype(precision, torch.device("cuda"), "s2s")
    assert not torch.backends.cudnn.allow_tf32
