"""Whisper base where the home folder takes nothing, and where many start at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faultkit import remount, tmpfs

from speechkit.engines.model_catalogue import BASE

pytestmark = pytest.mark.skipif(not BASE.is_installed(), reason=f"needs {BASE.install}")


def start(cache: Path, temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "speechkit", "models", "get", "base"],
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("what", "why"), [("full", "No space left on device"), ("ro", "Read-only file system")]
)
def test_a_home_that_takes_nothing(what: str, why: str, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with tmpfs(tmp_path / "home", "size=1m") as home:
        if what == "ro":
            remount(home, "ro")
        getting = start(home, temporary)
        out, err = getting.communicate()
        left = [path for path in home.rglob("*") if path.is_file() and path.stat().st_size]
    folder = temporary / f"speechkit-models-{os.getuid()}" / BASE.folder
    assert (getting.returncode, out) == (0, f"{folder}\n"), err
    (warning,) = [line for line in err.splitlines() if "WARNING" in line]
    assert why in warning
    assert f"so the model goes to {folder} (TMPDIR)" in warning
    assert (folder / "model.bin").stat().st_size == 145_217_532
    assert not left


def test_many_that_start_at_once_join_it_once(tmp_path: Path) -> None:
    started = [start(tmp_path, tmp_path) for _ in range(4)]
    folder = tmp_path / "speechkit" / BASE.folder
    assert {one.communicate()[0] for one in started} == {f"{folder}\n"}
    assert {path.name for path in folder.parent.iterdir()} == {
        BASE.folder,
        f".{BASE.folder}.lock",
    }
