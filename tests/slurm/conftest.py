from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import enginekit
import pytest
from clusterkit import SLOW, UTTERANCES, Cluster, Work, running

from audiokit import cut_speech

NEEDED = ("slurmctld", "slurmd", "munged", "sbatch")


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variable of a process that has those of `enginekit`."""
    return enginekit.declared(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def cluster(engines: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [name for name in NEEDED if not shutil.which(name, path=path)]
    if missing or os.getuid() != 0:
        names = ", ".join(NEEDED)
        pytest.skip(f"a cluster needs root and {names}: scripts/system_packages.sh tests")
    with running(tmp_path_factory.mktemp("slurm"), engines) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of a minute in all."""
    folder = tmp_path_factory.mktemp("spoken here")
    return cut_speech(folder, UTTERANCES, longest=1.2, seed=6)


@pytest.fixture(scope="session")
def manifest(speech: Path, speechkit: Any) -> Path:
    out = speech / "data.jsonl"
    speechkit("manifest", speech, "-o", out)
    return out


@pytest.fixture(scope="session")
def unsplit(manifest: Path, engines: dict[str, str], speechkit: Any) -> Callable[[str], bytes]:
    """``unsplit("vad")``: what a single process makes of it all."""
    made: dict[str, bytes] = {}

    def make(stage: str) -> bytes:
        if stage not in made:
            out = manifest.with_name(f"{stage}.jsonl")
            engine, env = (SLOW[1:], engines) if stage == "asr" else ((), {})
            speechkit(stage, manifest, *engine, "-o", out, "--workers", 1, env=env)
            made[stage] = out.read_bytes()
        return made[stage]

    return make


@pytest.fixture
def work(cluster: Cluster, manifest: Path, tmp_path: Path) -> Iterator[Work]:
    folder = tmp_path / "a run"
    folder.mkdir()
    yield Work(cluster, folder, manifest)
    cluster.ask("scancel", "--user=root")


@pytest.fixture
def folder(manifest: Path, tmp_path: Path, speechkit: Any) -> Path:
    """With the manifest in three splits."""
    speechkit("split-manifest", "--input", manifest, "--splits", 3, cwd=tmp_path)
    return tmp_path
