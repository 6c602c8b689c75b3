"""Models that are made once, until the code or the recordings that they are made of change."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from . import digits
from .digits import Samples, Word

COMMON = (Path(__file__), Path(digits.__file__))


def recipe_of(
    name: str, packages: tuple[str, ...], words: list[Word], noises: list[Samples]
) -> str:
    """A digest of the model's code, of the packages' versions and of what is learnt from."""
    digest = hashlib.sha256()
    for path in (*COMMON, *sorted(Path(__file__).parent.glob(f"{name}*.py"))):
        digest.update(path.read_bytes())
    for package in ("torch", "numpy", *packages):
        digest.update(f"{package} {version(package)}\n".encode())
    for word in words:
        digest.update(f"{word.text} {word.held_out}".encode() + word.samples.tobytes())
    for noise in noises:
        digest.update(noise.tobytes())
    return digest.hexdigest() + "\n"


@contextmanager
def made(output: Path, name: str, recipe: str) -> Iterator[Path | None]:
    """A folder to make the model's files in, which then are moved to ``output``; None where they
    are there, made by this recipe."""
    marker = output / f"{name}.recipe"
    if marker.is_file() and marker.read_text(encoding="utf-8") == recipe:
        print(f"{name} is in {output}, made by the same recipe.")
        yield None
        return
    began = time.monotonic()
    building = output / f"{name}.part"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    yield building
    marker.unlink(missing_ok=True)
    for made_now in sorted(building.iterdir()):
        target = output / made_now.name
        if target.is_dir():
            shutil.rmtree(target)
        made_now.replace(target)
    building.rmdir()
    marker.write_text(recipe, encoding="utf-8")
    print(f"{name} is in {output}, made in {time.monotonic() - began:.0f} s.", file=sys.stderr)
