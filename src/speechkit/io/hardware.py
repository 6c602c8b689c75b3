"""The CPUs, memory and GPUs granted to this process, which may be fewer than those present.

Batch systems and containers grant less than the machine has. Every limit is an upper bound, and the
lowest one counts. ``root`` stands for the file system's root, where cgroups are read.
"""

from __future__ import annotations

import math
import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_MIB = 1024 * 1024


def granted_cpus(root: Path = _ROOT) -> int:
    """CPUs to use at once, at least 1.

    The least of the CPUs fitted, the affinity mask, SLURM's grants to the task and to the job on
    this node, and the cgroup quotas (a fraction counts as a whole CPU).
    """
    limits = [present_cpus(), _slurm("SLURM_CPUS_PER_TASK"), _slurm("SLURM_CPUS_ON_NODE")]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        limits.append(len(os.sched_getaffinity(0)))
    limits += map(_cpu_quota, _cgroups(root, "cpu"))
    return min(filter(None, limits))


def present_cpus() -> int:
    """CPUs fitted."""
    return os.cpu_count() or 1


def granted_memory(root: Path = _ROOT) -> int:
    """Bytes to use: the least of the memory fitted, SLURM's grant and the cgroup limits."""
    cpus = _slurm("SLURM_CPUS_ON_NODE") or granted_cpus(root)
    limits = [
        present_memory(),
        _slurm("SLURM_MEM_PER_NODE") * _MIB,
        _slurm("SLURM_MEM_PER_CPU") * _MIB * cpus,
    ]
    limits += map(_memory_limit, _cgroups(root, "memory"))
    return min(filter(None, limits))


def present_memory() -> int:
    """Bytes of memory fitted."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpus(root: Path = _ROOT) -> int:
    """NVIDIA GPUs granted: those that CUDA_VISIBLE_DEVICES leaves, else those fitted."""
    visible = visible_gpus()
    if visible is not None:
        return len(visible)
    fitted = root / "proc/driver/nvidia/gpus"
    return len(list(fitted.iterdir())) if fitted.is_dir() else 0


def visible_gpus() -> list[str] | None:
    """The indices or names in CUDA_VISIBLE_DEVICES; None where it isn't set."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    return [name for name in names if name not in ("", "-1", "NoDevFiles")]  # SLURM's word


def peak_memory() -> int:
    """Most bytes resident at once in this process or in any one child that has ended."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux
    this_process, children = (
        unit * resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(_high_water() or this_process, children)


def _high_water() -> int:
    """Linux's own count; ru_maxrss begins there with that of the parent process."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    match = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return 1024 * int(match[1]) if match else 0


def _slurm(name: str) -> int:
    """A number set by SLURM (memory in MiB); 0 where unset, as SLURM has it for no limit."""
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else 0


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup and of its ancestors, each of which may set a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:  # "hierarchy:controllers:path"; version 2 names no controllers
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        cgroup = Path(path.strip("/"))
        yield from (mount / folder for folder in (cgroup, *cgroup.parents))


def _cpu_quota(cgroup: Path) -> int:
    """CPUs a cgroup may use, rounded up; 0 for no limit."""
    quota = _numbers(cgroup / "cpu.max") or [  # version 2; version 1 has two files
        *_numbers(cgroup / "cpu.cfs_quota_us"),
        *_numbers(cgroup / "cpu.cfs_period_us"),
    ]
    return math.ceil(quota[0] / quota[1]) if len(quota) == 2 else 0


def _memory_limit(cgroup: Path) -> int:
    """Bytes a cgroup may use, from either version's file; 0 for no limit."""
    limit = _numbers(cgroup / "memory.max") or _numbers(cgroup / "memory.limit_in_bytes")
    return limit[0] if limit else 0


def _numbers(file: Path) -> list[int]:
    """The whole numbers in a file, leaving out "max" and -1, which set no limit."""
    try:
        return [int(word) for word in file.read_text().split() if word.isdecimal()]
    except OSError:
        return []
