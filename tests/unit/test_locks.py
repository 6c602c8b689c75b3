"""The locks agree with pyproject.toml, whose requirements the installed package tells."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = Path(__file__).resolve().parents[2] / "locks"


def read(name: str) -> list[Requirement]:
    lines = (LOCKS / name).read_text().splitlines()
    return [Requirement(line) for line in lines if not line.lstrip().startswith("#")]


def extra_of(requirement: Requirement) -> str:
    found = re.search(r'extra == "([^"]+)"', str(requirement.marker))
    return found[1] if found else ""


@pytest.mark.parametrize("python", ["3.10.13", "3.11.7", "3.12.1", "3.13.0"])
def test_every_requirement_is_held_once(python: str) -> None:
    version = python.rpartition(".")[0]
    here = {**default_environment(), "python_version": version, "python_full_version": python}
    held: dict[str, set[str]] = {}
    for line in read("all.txt"):
        if line.marker is None or line.marker.evaluate(here):
            held.setdefault(canonicalize_name(line.name), set()).add(str(line.specifier)[2:])
    asked = [Requirement(text) for text in metadata.requires("speechkit") or []]
    assert len(asked) > 20
    for requirement in asked:
        marker, name = requirement.marker, canonicalize_name(requirement.name)
        applies = marker is None or marker.evaluate({**here, "extra": extra_of(requirement)})
        if name != "speechkit" and applies:
            (one,) = held[name]
            assert one in requirement.specifier, f"{name} {one}: make lock"


def test_the_light_lock_is_part_of_the_whole() -> None:
    light, whole = (
        {(r.name, str(r.specifier)) for r in read(f"{n}.txt")} for n in ("light", "all")
    )
    assert light < whole
    assert "torch" not in {name for name, _ in light}


def test_every_version_is_exact_and_from_the_index() -> None:
    for line in read("all.txt"):
        assert re.fullmatch(r"==[\w.!+-]+", str(line.specifier)), line
        assert line.url is None
