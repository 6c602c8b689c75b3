"""Nothing is stored under the home folder but speechkit's own cache, and no host is looked up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from speechkit.telemetry_off import SWITCHES


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("vad", "--engine", "silero"), id="vad"),
        pytest.param(("asr",), id="asr", marks=pytest.mark.slow),
    ],
)
def test_a_run_leaves_nothing_of_its_dependencies_at_home(
    command: tuple[str, ...], speechkit: Any, examples: Path, tmp_path: Path
) -> None:
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    cleared = dict.fromkeys(SWITCHES, "0")
    speechkit(*command, examples / "rms" / "bridge.flac", env={**home, **cleared})
    folders = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_dir()}
    assert {one for one in folders if not one.startswith(".cache/speechkit")} <= {".cache"}


def test_the_switches_are_set_by_the_first_import() -> None:
    assert SWITCHES.items() <= os.environ.items()
