"""Recordings beside the project, where they are."""

from pathlib import Path

DATA = (Path(__file__).resolve().parents[2] / "shared" / "data").resolve()
