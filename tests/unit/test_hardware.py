"""The CPUs and the memory granted, read from SLURM's variables and from cgroup files."""

import os
import subprocess
import sys

import pytest

from speechkit.io import hardware

GIB = 2**30


@pytest.fixture(autouse=True)
def _roomy_machine(monkeypatch):
    """64 CPUs and 256 GiB, no batch system around the tests."""
    for name in list(os.environ):
        if name.startswith("SLURM_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)), raising=False)
    monkeypatch.setattr(hardware, "present_memory", lambda: 256 * GIB)


def cgroup(root, membership, files):
    """A root folder with this membership and these files below its cgroup mount."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def test_without_limits_the_affinity_mask_and_the_fitted_memory_count(tmp_path):
    assert hardware.granted_cpus(tmp_path) == 48
    assert hardware.granted_memory(tmp_path) == 256 * GIB


def test_without_affinity_masks_the_fitted_cpus_count(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert hardware.granted_cpus(tmp_path) == 64


@pytest.mark.parametrize(
    ("variables", "cpus"),
    [
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_CPUS_ON_NODE": "16"}, 8),
        ({"SLURM_CPUS_ON_NODE": "1"}, 1),
        ({"SLURM_CPUS_PER_TASK": "100"}, 48),
        ({"SLURM_CPUS_PER_TASK": ""}, 48),
        ({"SLURM_CPUS_PER_TASK": "eight"}, 48),
    ],
)
def test_slurms_cpus(tmp_path, monkeypatch, variables, cpus):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hardware.granted_cpus(tmp_path) == cpus


@pytest.mark.parametrize(
    ("variables", "gib"),
    [
        ({"SLURM_MEM_PER_NODE": "4096"}, 4),
        ({"SLURM_MEM_PER_NODE": "0"}, 256),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "3"}, 6),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_PER_TASK": "2"}, 4),
    ],
)
def test_slurms_memory(tmp_path, monkeypatch, variables, gib):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hardware.granted_memory(tmp_path) == gib * GIB


@pytest.mark.parametrize(
    ("limit", "cpus"), [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)]
)
def test_cpu_quota_of_version_2_rounds_up(tmp_path, limit, cpus):
    assert hardware.granted_cpus(cgroup(tmp_path, "0::/job\n", {"job/cpu.max": limit})) == cpus


def test_version_2_without_limits(tmp_path):
    root = cgroup(tmp_path, "0::/job\n", {"job/cpu.max": "max 100000", "job/memory.max": "max"})
    assert hardware.granted_cpus(root) == 48
    assert hardware.granted_memory(root) == 256 * GIB


def test_limits_of_ancestors_count(tmp_path):
    root = cgroup(
        tmp_path,
        "0::/slurm/job_1/step_0\n",
        {
            "slurm/job_1/memory.max": str(2 * GIB),
            "slurm/job_1/step_0/memory.max": "max",
            "slurm/cpu.max": "400000 100000",
            "slurm/job_1/cpu.max": "800000 100000",
        },
    )
    assert hardware.granted_memory(root) == 2 * GIB
    assert hardware.granted_cpus(root) == 4


def test_a_containers_limits_stand_at_the_mounts_root(tmp_path):
    root = cgroup(tmp_path, "0::/../../pod\n", {"memory.max": str(GIB), "cpu.max": "300000 100000"})
    assert hardware.granted_memory(root) == GIB
    assert hardware.granted_cpus(root) == 3


def test_version_1(tmp_path):
    root = cgroup(
        tmp_path,
        "4:memory:/job\n3:cpuset:/other\n2:cpu,cpuacct:/job\n1:name=systemd:/x\n0::/\n",
        {
            "memory/job/memory.limit_in_bytes": str(3 * GIB),
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "cpu/job/cpu.cfs_quota_us": "500000",
            "cpu/job/cpu.cfs_period_us": "100000",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert hardware.granted_memory(root) == 3 * GIB
    assert hardware.granted_cpus(root) == 5


def test_this_machine(monkeypatch):
    monkeypatch.undo()
    assert 1 <= hardware.granted_cpus() <= hardware.present_cpus()
    assert 0 < hardware.granted_memory() <= hardware.present_memory()


def test_peak_memory_covers_this_process_and_ended_children():
    size = 300 * 2**20
    before = hardware.peak_memory()
    subprocess.run([sys.executable, "-c", f"x = b'x' * {size}"], check=True)
    assert max(size, before) <= hardware.peak_memory() < max(size, before) + 200 * 2**20


def test_a_big_parents_memory_is_not_ours():
    """As when a notebook or a test runner starts speechkit."""
    ballast = b"\1" * (300 << 20)
    code = "from speechkit.io.hardware import peak_memory; print(peak_memory())"
    peak = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert 0 < peak < 150 << 20 < len(ballast)
