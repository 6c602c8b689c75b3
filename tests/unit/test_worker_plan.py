"""Where a stage runs: GPUs named by number, models copied to the machine's own disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechkit.commands.device_options import DeviceFlags
from speechkit.engines import registry
from speechkit.errors import OutputFailed, UsageError
from speechkit.io import model_files
from speechkit.runtime import worker_plan
from speechkit.runtime.batching import BatchSizes
from speechkit.runtime.worker_plan import Hardware, batch_sizes, plan_workers


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ("0", "2")), ("4,5,GPU-6f", ("4", "GPU-6f"))],
)
def test_gpus_are_numbered_among_those_granted(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, names: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    hardware = DeviceFlags(devices="0,2").hardware()
    assert hardware.gpus == names
    plan = plan_workers(registry.find("asr", "whisper"), hardware, None)
    assert (plan.workers, plan.gpus) == (2, names)
    assert hardware.device == "cuda"


@pytest.mark.parametrize(
    ("size", "gpus", "gib", "most", "least"),
    [
        (0, (), 128, 512, 32),
        (64, (), 128, 256, 32),
        (4, (), 128, 16, 16),
        (0, (), 4, 279, 32),  # 1 GiB of audio, of two batches
        (0, ("0", "1", "2", "3"), 4, 69, 32),
    ],
)
def test_batches_for_a_device_fit_in_memory(
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    gpus: tuple[str, ...],
    gib: int,
    most: int,
    least: int,
) -> None:
    monkeypatch.setattr(worker_plan, "granted_memory", lambda: gib << 30)
    hardware = Hardware(device="cuda", batch_size=size, gpus=gpus)
    sizes = batch_sizes(registry.find("asr", "whisper"), hardware)
    assert sizes == BatchSizes(most=most, least=least)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (DeviceFlags(devices="0,0"), "each once"),
        (DeviceFlags(devices="cuda:0"), "numbers of GPUs"),
        (DeviceFlags(devices=""), "numbers of GPUs"),
        (DeviceFlags(devices="0", device="cpu"), "exclude each other"),
        (DeviceFlags(devices="0,2"), "grants 2"),
    ],
)
def test_gpus_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, flags: DeviceFlags, words: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(UsageError, match=words):
        flags.hardware()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "shared" / "model"
    folder.mkdir(parents=True)
    (tmp_path / "shared" / "blob").write_bytes(b"weights")
    (folder / "model.bin").symlink_to("../blob")  # as the hub's cache has them
    return folder


def test_a_model_is_copied_once(model: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    code = (
        "import sys; from pathlib import Path; from speechkit.io import model_files; "
        "print(model_files.nearby(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, model, local], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    (copy,) = {process.communicate()[0].decode().strip() for process in started}
    assert Path(copy).name == "model"
    assert (Path(copy) / "model.bin").read_bytes() == b"weights"
    assert not (Path(copy) / "model.bin").is_symlink()
    made = Path(copy).stat()
    again = model_files.nearby(model, local)
    assert str(again) == copy
    assert (again.stat().st_ino, again.stat().st_ctime_ns) == (made.st_ino, made.st_ctime_ns)
    (tmp_path / "shared" / "blob").write_bytes(b"other weights")
    assert (model_files.nearby(model, local) / "model.bin").read_bytes() == b"other weights"
    assert model_files.nearby(model, None) == model


def test_a_single_file_is_copied(tmp_path: Path) -> None:
    (tmp_path / "hubert.pt").write_bytes(b"weights")
    copy = model_files.nearby(tmp_path / "hubert.pt", tmp_path / "local")
    assert copy.name == "hubert.pt"
    assert copy.read_bytes() == b"weights"


def test_a_folder_that_others_can_write_to(model: Path, tmp_path: Path) -> None:
    planted = tmp_path / f"speechkit-models-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.raises(OutputFailed, match="others can write to it"):
        model_files.nearby(model, tmp_path)
