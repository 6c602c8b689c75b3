"""Logs and metrics that stay whole: with many processes, after a kill, and on a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faultkit import HERE, Run, Unbroken, run, tmpfs

from runkit import entries, until, write_manifest

NOISY = (sys.executable, "-m", "noisy")


def objects(text: str) -> list[dict[str, Any]]:
    """Every line of a log or of metrics, which has to be an object."""
    lines = text.splitlines()
    found = [json.loads(line) for line in lines]
    assert all(isinstance(one, dict) for one in found)
    return found


def manifest_of(folder: Path, count: int) -> Path:
    lines = [{"id": str(n), "audio_filepath": f"/{n}.wav", "duration": 1.0} for n in range(count)]
    return write_manifest(folder / "in.jsonl", lines)


def test_sixteen_processes_tear_no_line(tmp_path: Path) -> None:
    """Records longer than a pipe takes at once, and what libraries print; into one pipe and into
    one file that four runs share."""
    source = manifest_of(tmp_path, 48)
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    log = tmp_path / "log"
    with open(log, "ab") as file:
        runs = [
            subprocess.Popen(
                [*NOISY, source, tmp_path / f"out{number}.jsonl", "4"], stderr=file, env=environment
            )
            for number in range(4)
        ]
        assert [run.wait(120) for run in runs] == [0] * 4
    events = Counter(one["event"] for one in objects(log.read_text()))
    assert events["long"] == 4 * 48
    found = objects(log.read_text())
    bare = [one for one in found if one["message"].startswith("bare line")]
    assert len(bare) == 4 * 48
    assert {one["event"] for one in bare} == {"output"}
    assert len({one["worker"] for one in bare}) > 1
    assert {one["stage"] for one in found} == {"noisy"}
    long = [one for one in found if one["event"] == "long"]
    assert sorted(one["utterance"]["index"] for one in long) == sorted([*range(48)] * 4)
    assert all(one["utterance"]["name"] == str(one["number"]) for one in long)
    assert any("of a library" in one["message"] for one in found)


def test_metrics_after_a_kill(ten: Unbroken, tmp_path: Path) -> None:
    """Every line parses; the next run drops what is torn, and goes on in the same file."""
    out, metrics = tmp_path / "out.jsonl", tmp_path / "m.jsonl"
    options = [*ten.args, "-o", out, "--metrics", metrics]
    going = Run(tmp_path, *options)
    until(lambda: entries(out) > 50)
    going.process.kill()
    assert going.wait().code == -9
    done = entries(out)
    killed = objects(metrics.read_text())
    assert killed[0]["event"] == "run"
    assert killed[-1]["event"] != "end"
    with open(metrics, "a") as file:
        file.write('{"event": "trace", "time": 17')  # as a power cut may leave it
    assert run(tmp_path, *options).code == 0
    both = objects(metrics.read_text())
    assert both[: len(killed)] == killed
    events = [one["event"] for one in both]
    assert events.count("run") == 2
    assert events.count("end") == 1
    assert events[-1] == "end"
    assert both[-1]["exit_code"] == 0
    assert both[-1]["resumed"] >= done
    traced = {one["index"] for one in both if one["event"] == "trace"}
    assert len(traced) >= ten.utterances - 30  # those of the batch whose traces were not written
    assert out.read_bytes() == ten.output


def test_metrics_on_a_full_disk(ten: Unbroken, tmp_path: Path) -> None:
    """One warning, and the run goes on."""
    with tmpfs(tmp_path / "small", "size=16k") as disk:
        metrics, text = disk / "m.jsonl", disk / "m.prom"
        out = tmp_path / "out.jsonl"
        told = ["--metrics", metrics, "--prometheus", text, "--log-format", "json"]
        result = run(tmp_path, *ten.args, "-o", out, *told)
        assert result.code == 0, result.err
        assert out.read_bytes() == ten.output
        events = Counter(one["event"] for one in objects(result.err))
        assert events["metrics_dropped"] == 1
        assert events["prometheus_dropped"] <= 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"audio_filepath": "/a.wav"}\n', "is no file of metrics"),
        ("text", "is no file of metrics"),
    ],
)
def test_a_foreign_file_is_left_alone(
    ten: Unbroken, tmp_path: Path, content: str, words: str
) -> None:
    metrics = tmp_path / "mine.jsonl"
    metrics.write_text(content)
    result = run(tmp_path, *ten.args, "-o", tmp_path / "out.jsonl", "--metrics", metrics)
    assert result.code == 2
    assert words in result.err
    assert metrics.read_text() == content
