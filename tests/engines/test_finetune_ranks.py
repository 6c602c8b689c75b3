"""The processes of a training: real ones on this machine, which speak by gloo."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ranked
import torch
from safetensors.torch import load_file

from speechkit.engines.finetune.ranks import Ranks
from speechkit.errors import UsageError


@pytest.fixture
def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_ranks_agree_and_none_outlives_another(tmp_path: Path, port: str) -> None:
    """By torchrun: sums, messages, a wait beyond the time to meet; then the second is killed."""
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-port", port)
    done = run(*torchrun, ranked.__file__, "sums-then-die", tmp_path)
    found: list[dict[str, Any]] = [
        json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)
    ]
    assert found[0] == found[1]
    (said, _) = found
    assert said["sum"] == [3, 1.0]
    assert said["any"] == [True, False]
    assert said["gather"] == [{"rank": 0, "word": ""}, {"rank": 1, "word": "é"}]
    assert said["share"] == ["first"]
    for one, other, summed in zip(
        ranked.gradients(0), ranked.gradients(1), said["gradients"], strict=True
    ):
        expected = (one.float() + other.float()).to(one.dtype)
        assert torch.equal(torch.tensor(summed, dtype=one.dtype), expected)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "0.error").read_text().startswith("EngineFailed: another process")


@pytest.mark.slow
def test_ranks_learn_what_one_process_learns(
    untrained: dict[str, Path], tmp_path: Path, port: str
) -> None:
    """A step's examples are divided among them. Where one is stopped, all end to be resumed."""
    shutil.copytree(untrained["whisper"], tmp_path / "model")
    done = run(ranked.__file__, "train-then-stop", tmp_path, port)
    assert done.returncode == 0, done.stderr
    alone, first, second = (
        load_file(tmp_path / f"trained-{name}" / "training.safetensors")
        for name in ("0-of-1", "0-of-2", "1-of-2")
    )
    assert first.keys() == alone.keys()
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    assert json.loads((tmp_path / "codes.json").read_text()) == [75, 75], done.stderr
    reasons = [(tmp_path / f"{rank}.error").read_text() for rank in range(2)]
    assert "stopped by a signal" in reasons[0]
    assert "another process of the training was stopped" in reasons[1]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two"),
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
    ],
)
def test_variables_that_make_no_sense(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        Ranks.of_environment()
