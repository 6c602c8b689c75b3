"""What an utterance's time goes to, files of metrics, and values over time."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from speechkit.cluster.time_bins import MOST_BINS, TimeBins
from speechkit.errors import OutputConflict, UsageError
from speechkit.records import Utterance
from speechkit.runtime import metrics_file, prometheus, trace
from speechkit.runtime.messages import Outcome
from speechkit.runtime.metrics import Metrics, RunFacts
from speechkit.runtime.metrics_file import MetricsFile
from speechkit.runtime.trace import Timings, Trace
from speechkit.runtime.utterance_traces import UtteranceTraces
from speechkit.runtime.watch import Watch

FIRST, SECOND = (0, None), (1, None)


def test_every_moment_belongs_to_one_part() -> None:
    traced = Trace(on=True)
    began = time.monotonic()
    traced.begin([FIRST, SECOND])
    with traced.loading(FIRST):
        time.sleep(0.04)
        with trace.vad():
            time.sleep(0.03)
    with pytest.raises(OSError, match="gone"), traced.loading(SECOND):
        raise OSError("gone")
    time.sleep(0.02)
    traced.computing([FIRST, SECOND])
    time.sleep(0.05)
    one, two = (Timings(*(traced.take(key) or ())) for key in (FIRST, SECOND))
    whole = time.monotonic() - began
    assert one.audio == pytest.approx(0.04, abs=0.02)
    assert one.vad == pytest.approx(0.03, abs=0.02)
    assert one.queue == pytest.approx(0.02, abs=0.02)
    assert one.compute == pytest.approx(0.05, abs=0.03)
    assert one.end - one.start == pytest.approx(whole, abs=0.02)
    assert two.queue > 0.08  # while the first was loaded
    assert one.busy + two.busy == pytest.approx(two.compute, abs=0.01)  # each second once
    assert one.busy == pytest.approx(0.05, abs=0.03)


def test_a_trace_that_is_off() -> None:
    traced = Trace(on=False)
    traced.begin([FIRST])
    with traced.loading(FIRST), trace.vad():
        pass
    traced.computing([FIRST])
    assert traced.take(FIRST) is None


def header(path: Path) -> MetricsFile:
    file = MetricsFile(path, None)
    file.write(metrics_file.dumped("run", {"metrics": 1}))
    return file


def test_a_torn_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    header(path).close()
    whole = path.read_text()
    path.write_text(whole + '{"event": "sam')
    header(path).close()
    assert path.read_text() == whole * 2
    path.write_text(whole[:9])  # of the very first line
    header(path).close()
    assert path.read_text() == whole


def test_a_short_write_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.jsonl"
    file = header(path)
    whole, write = path.read_text(), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        file.write(metrics_file.dumped("sample", {"done": 1}))
    file.write(whole)
    file.close()
    assert path.read_text() == whole


def test_no_second_run_writes_there(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    first = header(path)
    with pytest.raises(OutputConflict, match="another run"):
        MetricsFile(path, None)
    first.close()
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    with pytest.raises(OutputConflict, match="is a link"):
        MetricsFile(link, None)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b"RIFF\0\0\0\0WAVE", "no file of metrics")]
)
def test_reading_something_else(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        list(metrics_file.read(path))


def test_damaged_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    file = header(path)
    for line in ("{", "[1]", '{"event": 3}', '{"event": "end"}', "[" * 100_000):
        file.write(line + "\n")
    file.close()
    assert [line["event"] for line in metrics_file.read(path)] == ["run", "end"]


def test_text_for_prometheus() -> None:
    sample = {"done": 3, "time": 1.5, "workers": [{"worker": 1, "rss": 9}, {"worker": 2}]}
    labels = {"stage": "vad", "output": 'a"\\\n.jsonl'}
    text = prometheus.rendered(sample, labels, None)
    escaped = r'stage="vad",output="a\"\\\n.jsonl"'
    assert f"speechkit_utterances_done_total{{{escaped}}} 3\n" in text
    assert f'speechkit_worker_memory_bytes{{{escaped},worker="1"}} 9\n' in text
    assert f"speechkit_running{{{escaped}}} 1\n" in text
    assert "exit_code" not in text
    assert "exit_code" in prometheus.rendered(sample, labels, 0)
    for line in text.splitlines():
        assert line.startswith(("# HELP speechkit_", "# TYPE speechkit_", "speechkit_"))


def test_bins_keep_sums_and_stay_few() -> None:
    bins = TimeBins(["done", "memory"])
    for second in range(5000):
        bins.add(1e9 + second, 1e9 + second + 1, {"done": 2.0})
        bins.add(1e9 + second, 1e9 + second + 1, {"memory": 7.0})
    points = list(bins.rates("done"))
    assert bins.width == 8.0
    assert len(points) <= MOST_BINS + 1
    assert {round(rate or 0.0, 6) for _, rate in points} == {2.0}
    assert {round(rate or 0.0, 6) for _, rate in bins.rates("memory")} == {7.0}
    bins.add(1e9 + 6000, 1e9 + 6001, {"done": 1.0})
    assert [rate for _, rate in bins.rates("done")].count(None) == 1
    bins.add(-1e14, -1e14 + 1, {"done": 1.0})  # anybody's file may say so
    assert len(list(bins.rates("done"))) <= MOST_BINS + 2


def test_two_tasks_at_once_add_up() -> None:
    bins = TimeBins(["memory"])
    for start, end in ((10.0, 12.0), (10.5, 11.5)):
        bins.add(start, end, {"memory": 4.0})
    assert [rate for _, rate in bins.rates("memory")] == [6.0, 6.0]


def test_a_worker_that_dies() -> None:
    traces = UtteranceTraces()
    first, second, other = (Utterance(number, "/a.wav") for number in range(3))
    traces.given(1, [first, second])
    traces.given(2, [other])
    time.sleep(0.02)
    traces.begun(1, [first.key])
    time.sleep(0.02)
    traces.lost(1, [first], "WorkerDied")
    assert traces.in_workers == 1
    (line,) = map(json.loads, traces.written().splitlines())
    assert (line["index"], line["error"], line["worker"]) == (0, "WorkerDied", 1)
    assert line["queue"] >= 0.02
    assert line["lost"] >= 0.02
    assert line["wall"] == pytest.approx(line["queue"] + line["lost"], abs=1e-5)
    assert traces.written() == ""
    traces.given(3, [second])
    traces.begun(3, [second.key])
    traces.lost(3, [second], "WorkerDied")
    (line,) = map(json.loads, traces.written().splitlines())
    assert line["queue"] >= 0.04  # it has waited since the first worker had it


def test_prometheus_without_a_file_of_metrics(tmp_path: Path) -> None:
    """Workers trace for it, too, and the traces are not kept."""
    text = tmp_path / "m.prom"
    with Metrics(None, text, RunFacts("vad", None, {})) as metrics:
        assert Watch(metrics).traces
        metrics.begin(1, None, 1)
        utterance, now = Utterance(0, "/a.wav"), time.monotonic()
        metrics.started(1, os.getpid())
        metrics.given(1, [utterance])
        timings = (now, 0.0, 0.0, 0.0, 0.25, 0.25)
        metrics.answered(utterance, Outcome(0, ("{}",), 1.0, timings=timings))
        metrics.written()
    assert re.search(r"^speechkit_engine_seconds_total\{.*\} 0.25$", text.read_text(), re.M)
    assert re.search(r"^speechkit_utterances\{.*\} 1$", text.read_text(), re.M)
