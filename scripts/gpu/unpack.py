"""Joins the parts that scripts/gpu/pack.py has made, as far as they have arrived: ~/kit.

`.cache` and `../shared/data` become links to it, so that tests and benchmarks find their models and
data where they always are.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = Path.home() / "kit"
SITE = KIT / "site"  # to be on Python's path


def unpack(parts: Path = ROOT / ".gpu") -> list[str]:
    """The names of all archives that are there in full, now or from before."""
    slices = KIT / "slices"
    slices.mkdir(parents=True, exist_ok=True)
    for path in parts.glob("*/*"):
        if not (slices / path.name).exists():
            shutil.copyfile(path, slices / path.name)
    names = {path.name.partition(".")[0] for path in slices.iterdir()}
    whole = [name for name in sorted(names) if _is_whole(name, slices)]
    for name in whole:
        done = KIT / f"{name}.done"
        if not done.exists():
            _extract(name, slices)
            done.touch()
    _link(ROOT / ".cache", KIT)
    _link(ROOT.parent / "shared" / "data", KIT / "data")
    return whole


def _slices(name: str, folder: Path) -> list[Path]:
    """In order."""
    return sorted(folder.glob(f"{name}.*"), key=lambda path: _numbers(path)[0])


def _numbers(path: Path) -> tuple[int, int]:
    number, of = re.fullmatch(r".*\.(\d+)of(\d+)", path.name).groups()
    return int(number), int(of)


def _is_whole(name: str, folder: Path) -> bool:
    found = _slices(name, folder)
    return len(found) == _numbers(found[0])[1]


def _extract(name: str, folder: Path) -> None:
    joined = KIT / f"{name}.tgz"
    with open(joined, "wb") as out:
        for path in _slices(name, folder):
            out.write(path.read_bytes())
    with tarfile.open(joined) as tar:
        tar.extractall(KIT, filter="data")
    joined.unlink()
    # Not by pip --target, where packages that share a top folder replace each other.
    for wheel in (KIT / "wheels").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(SITE)
        wheel.unlink()
    for package in (path for path in (KIT / "wheels").glob("*") if path.is_dir()):
        shutil.move(package, SITE / package.name)


def _link(place: Path, target: Path) -> None:
    if not os.path.lexists(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
