"""Engines of another package: its metadata, as pip writes it, in a folder for Python's path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def declare(site: Path, package: str, engines: Mapping[str, str]) -> Path:
    """Makes the package have these entry points (name: ``module:INFO``). Returns ``site``."""
    account = site / f"{package.replace('-', '_')}-1.0.dist-info"
    account.mkdir(parents=True)
    (account / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in engines.items())
    (account / "entry_points.txt").write_text(f"[speechkit.engines]\n{lines}")
    return site


def path(*folders: Path) -> dict[str, str]:
    """The variable that puts folders on Python's path, before those that it has."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([*map(str, folders), *filter(None, [before])])}
