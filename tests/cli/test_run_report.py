"""The logs and metrics of real runs, and the page that shows them."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runkit import records

PARTS = ("queue", "audio", "vad", "compute", "lost", "write")
SPLITS = 2


@pytest.fixture(scope="module")
def runs(speechkit: Any, examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the metrics and the logs, with all that is in them, of vad and asr."""
    folder = tmp_path_factory.mktemp("runs")
    told = ["--log-format", "json", "--log-level", "debug", "--workers", 2]
    sources = sorted(examples.glob("*/*.flac"))[:2]
    gone = folder / "gone.jsonl"
    gone.write_text('{"audio_filepath": "gone.wav", "text": "unmistakable"}\n')
    for stage, *more in (["vad"], ["asr", "--engine", "pocketsphinx"]):
        files = ["-o", folder / f"{stage}.jsonl", "--metrics", folder / f"{stage}.metrics.jsonl"]
        files += ["--prometheus", folder / f"{stage}.prom"]
        done = speechkit(stage, *sources, gone, *files, *told, *more, code=3)
        (folder / f"{stage}.log").write_text(done.err)
    return folder


@pytest.mark.parametrize("stage", ["vad", "asr"])
def test_traces_explain_the_time(runs: Path, stage: str) -> None:
    lines = records(runs / f"{stage}.metrics.jsonl")
    traces = {line["index"]: line for line in lines if line["event"] == "trace"}
    assert sorted(traces) == list(range(3))
    for trace in traces.values():
        assert sum(trace[part] for part in PARTS) == pytest.approx(trace["wall"], rel=0.05)
    assert [traces[index]["error"] for index in range(3)] == [None, None, "AudioNotFound"]
    heard = [traces[index] for index in range(2)]
    assert all(trace["audio"] > 0 and trace["compute"] > 0 for trace in heard)
    assert all((trace["vad"] > 0) == (stage == "asr") for trace in heard)
    assert sum(trace["audio_seconds"] for trace in heard) == pytest.approx(10, abs=3)
    for worker in {trace["worker"] for trace in heard}:
        own = [trace for trace in heard if trace["worker"] == worker]
        ends = [trace["time"] + trace["wall"] for trace in own]
        lived = max(ends) - min(trace["time"] for trace in own)
        assert sum(trace["busy"] for trace in own) <= lived


def test_a_sample_each_second(runs: Path) -> None:
    lines = records(runs / "asr.metrics.jsonl")
    assert (lines[0]["event"], lines[0]["utterances"], lines[0]["stage"]) == ("run", 3, "asr")
    samples = [line for line in lines if line["event"] == "sample"]
    steps = [later["elapsed"] - earlier["elapsed"] for earlier, later in pairwise(samples)]
    assert all(step < 3 for step in steps)  # on a busy machine
    assert len(samples) >= samples[-1]["elapsed"] / 2
    assert sum(sample["done_now"] for sample in samples) == samples[-1]["done"] == 3
    workers = [worker for sample in samples for worker in sample["workers"]]
    whole = [worker for worker in workers if "rss" in worker]  # the others were just ending
    assert max(worker["rss"] for worker in whole) > 20e6
    assert max(worker["cpu"] for worker in whole) > 0.05
    assert min(sample["disk_free"] for sample in samples) > 0
    end = lines[-1]
    assert (end["event"], end["exit_code"], end["errors"]) == ("end", 3, {"AudioNotFound": 1})


def test_every_line_is_an_object_and_has_no_text(runs: Path) -> None:
    for stage in ("vad", "asr"):
        log = (runs / f"{stage}.log").read_text()
        lines = [json.loads(line) for line in log.splitlines()]
        events = [line["event"] for line in lines]
        assert {"worker_started", "worker_ready", "utterance_done", "utterance_failed"} < {*events}
        assert events[-1] == "summary"
        assert lines[-1]["summary"]["failed"] == 1
        assert {line["stage"] for line in lines} == {stage}
    spoken = " ".join(record["pred_text"] for record in records(runs / "asr.jsonl"))
    words = spoken.lower().split()
    phrases = {*map(" ".join, zip(words, words[1:], words[2:], strict=False)), "unmistakable"}
    told = "".join(path.read_text() for path in runs.glob("asr.[lmp]*")).lower()
    assert len(phrases) > 10
    assert not [phrase for phrase in phrases if phrase in told]


def test_text_for_prometheus(runs: Path) -> None:
    text = (runs / "asr.prom").read_text()
    assert re.search(r'^speechkit_utterances_done_total\{stage="asr",output=".*"\} 3$', text, re.M)
    assert re.search(r"^speechkit_running\{.*\} 0$", text, re.M)
    assert re.search(r"^speechkit_exit_code\{.*\} 3$", text, re.M)


def test_the_page_of_runs(speechkit: Any, runs: Path) -> None:
    page = runs / "report.html"
    speechkit("report", runs / "vad.jsonl", runs / "asr.metrics.jsonl", "-o", page)
    html = page.read_text()
    for words in ("Run of speechkit", "vad and asr", "AudioNotFound", "Slowest utterances"):
        assert words in html
    assert html.count("<svg") > 8
    assert "gone.wav" in html
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", html)


def test_a_run_without_metrics(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    speechkit("manifest", examples / "awb", "-o", tmp_path / "out.jsonl")
    done = speechkit("report", tmp_path / "out.jsonl", "-o", tmp_path / "r.html", code=2)
    assert "--metrics" in done.err
    done = speechkit("report", tmp_path, "-o", tmp_path / "r.html", code=2)
    assert "holds no metrics" in done.err
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prometheus", "in.jsonl"], "is an input too"),
        (["--prometheus", "mine.flac"], "holds something else"),
        (["--prometheus", "link.jsonl"], "is an input too"),
        (["--prometheus", "out.jsonl"], "is the output too"),
        (["--summary", "in.jsonl"], "is an input too"),
        (["--metrics", "out.jsonl.part"], "is the unfinished output too"),
        (["--metrics", "x", "--summary", "./x"], "is the file of --metrics too"),
        (["--metrics", "x", "--prometheus", "x"], "is the file of --metrics too"),
        (["--metrics", "x", "--prometheus", "in.jsonl/y"], "can't be written"),
    ],
)
def test_files_that_are_the_same(
    speechkit: Any, tmp_path: Path, options: list[str], words: str
) -> None:
    (tmp_path / "in.jsonl").write_text('{"audio_filepath": "mine.flac"}\n')
    code = 1 if words == "can't be written" else 2
    (tmp_path / "mine.flac").write_bytes(b"fLaC")
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = speechkit("manifest", "in.jsonl", "-o", "out.jsonl", *options, cwd=tmp_path, code=code)
    assert words in done.err
    assert done.err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_outputs_of_one_name(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    """In two folders, with metrics of other names beside them."""
    source = tmp_path / "in.jsonl"
    source.write_text('{"audio_filepath": "gone.wav"}\n')
    for folder in "ab":
        files = ["-o", f"{folder}/out.jsonl", "--metrics", f"{folder}/m.log"]
        speechkit("vad", source, *files, cwd=tmp_path, code=3)
    speechkit("report", "a/out.jsonl", "b/out.jsonl", "-o", "r.html", cwd=tmp_path)
    html = (tmp_path / "r.html").read_text()
    assert "a/out.jsonl" in html
    assert "b/out.jsonl" in html


def test_metrics_of_another_output(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    make = partial(speechkit, "manifest", examples / "awb", "--metrics", "m.jsonl", cwd=tmp_path)
    make("-o", "one.jsonl")
    before = (tmp_path / "m.jsonl").read_bytes()
    assert "has the metrics of" in make("-o", "two.jsonl", code=2).err
    assert (tmp_path / "m.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n", "is no file of metrics"),
        (b'{"event": "run", "metrics": 1, "ti', "cut off"),
    ],
)
def test_no_metrics_at_all(speechkit: Any, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.jsonl").write_bytes(content)
    done = speechkit("report", "m.jsonl", cwd=tmp_path, code=2)
    assert words in done.err
    assert done.err.count("\n") == 1
    done = speechkit("report", "none.jsonl", cwd=tmp_path, code=2)
    assert "no such file" in done.err


def test_forged_metrics(speechkit: Any, runs: Path, tmp_path: Path) -> None:
    """Values of any type, and markup in names."""
    lines = (runs / "vad.metrics.jsonl").read_text().splitlines()
    values: list[Any] = [None, True, -1, 1e300, "</script><b>x", [], {"a": 1}, [[1]]]
    forged = [lines[0]]
    for line in lines:
        fields = json.loads(line)
        for key in fields:
            if key != "event":
                forged += [json.dumps({**fields, key: value}) for value in values]
    (tmp_path / "m.jsonl").write_text("\n".join(forged))
    speechkit("report", "m.jsonl", "-o", "r.html", cwd=tmp_path)
    html = (tmp_path / "r.html").read_text()
    assert "&lt;/script&gt;" in html
    assert "<b>x" not in html


def test_the_page_of_a_job_array(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    """Tasks write their metrics beside their results; a failed attempt is there with its reason."""
    data = tmp_path / "data.jsonl"
    speechkit("manifest", examples / "awb", examples / "rms", "-o", data)
    place = {"cwd": tmp_path}
    speechkit("split-manifest", "--input", data, "--splits", SPLITS, **place)
    task = partial(speechkit, "slurm", "task", "vad", **place)
    task("--split", 0)
    split = tmp_path / "splits" / "data_split_01.jsonl"
    shutil.move(split, tmp_path)
    task("--split", 1, code=2)
    shutil.move(tmp_path / split.name, split)
    refused = task("--split", 1, "--", "--metrics", "all.jsonl", code=2)
    assert "--metrics: is not for a split" in refused.err
    told = task("--split", 1, "--", "--log-format", "json").err
    assert [json.loads(line)["event"] for line in told.splitlines()] == ["message", "summary"]
    metrics = sorted((tmp_path / "output" / "slurm").glob("*.metrics.jsonl"))
    assert [records(path)[-1]["exit_code"] for path in metrics] == [0] * SPLITS
    speechkit("report", "output", **place)
    html = (tmp_path / "report.html").read_text()
    assert {f"data_split_0{number}.jsonl" in html for number in range(SPLITS)} == {True}
    assert "the same command gives the same splits" in html
    shutil.move(tmp_path / "output", tmp_path / "moved")
    speechkit("report", "moved/data_split_01.jsonl", "-o", "one.html", **place)
    assert "data_split_00.jsonl" not in (tmp_path / "one.html").read_text()
