"""Completion in bash, by the script that speechkit gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")

SCRIPT = """
source <(_SPEECHKIT_COMPLETE=source_bash speechkit)
complete -p speechkit
for line in "$@"; do
    COMP_WORDS=($line)
    [[ "$line" == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _speechkit_completion speechkit
    echo "$line=${COMPREPLY[*]}"
done
"""


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The completions of each line, all asked for in one shell."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "speechkit"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m speechkit "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "--norc", "-c", SCRIPT, "bash", *EXPECTED],
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    registered, *lines = done.stdout.splitlines()
    assert registered.endswith("-F _speechkit_completion speechkit"), done.stderr
    return {line: found.split() for line, _, found in (one.partition("=") for one in lines)}


EXPECTED = {
    "speechkit s": ["score", "s2s", "serve", "split-manifest", "slurm", "stream"],
    "speechkit slurm re": ["rerun"],
    "speechkit embed ": ["search", "dedup", "probe"],
    "speechkit embed --dt": ["--dtype"],
    "speechkit embed se": ["search"],
    "speechkit embed talks/ se": [],
    "speechkit embed search --cou": ["--count"],
    "speechkit asr --beam": ["--beam-size"],
    "speechkit asr --engine f": ["faster-whisper"],
    "speechkit asr --engine ": ["faster-whisper", "nemo", "pocketsphinx", "whisper"],
    "speechkit vad --engine ": ["ten", "silero", "auto"],
    "speechkit asr --task tr": ["transcribe", "translate"],
    "speechkit asr --format t": ["txt", "tsv", "textgrid"],
    "speechkit vad -f a": ["audacity"],
    "speechkit asr --model large-v3": ["large-v3", "large-v3-turbo"],
    "speechkit asr --engine nemo --model p": ["parakeet-tdt-0.6b-v3"],
}


@pytest.mark.parametrize("line", EXPECTED)
def test_completions(completed: dict[str, list[str]], line: str) -> None:
    assert sorted(completed[line]) == sorted(EXPECTED[line])
