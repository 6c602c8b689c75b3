"""A process of ours tells the one that started it why it failed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from speechkit.io.process_failure import ProcessFailure, failure_file
from speechkit.runtime.interpreter import command


def run(
    folder: Path, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], ProcessFailure | None]:
    with failure_file() as file:
        done = subprocess.run(
            command("speechkit.cli", *arguments),
            cwd=folder,
            env={**os.environ, **file.variables},
            pass_fds=file.descriptors,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, file.read()


def test_the_sentence_and_the_exit_code_are_reported(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("{broken\n[]\n")
    done, outcome = run(tmp_path, "split-manifest", "--input", "m.jsonl", "--splits", "2")
    assert outcome
    assert done.returncode == outcome.exit_code == 2
    assert outcome.message.startswith("m.jsonl, line 1: not valid JSON")
    assert done.stderr == f"speechkit: {outcome.message}\n"


def test_success_reports_nothing(tmp_path: Path) -> None:
    done, outcome = run(tmp_path, "--version")
    assert done.returncode == 0
    assert outcome is None


def test_nobody_to_report_to_is_no_failure(speechkit: Any, tmp_path: Path) -> None:
    arguments = ("split-manifest", "--input", tmp_path / "gone.jsonl", "--splits", 2)
    plain = speechkit(*arguments, code=2)
    nowhere = speechkit(*arguments, code=2, env={"SPEECHKIT_OUTCOME": str(tmp_path / "no" / "one")})
    assert plain.err == nowhere.err
    assert list(tmp_path.iterdir()) == []
