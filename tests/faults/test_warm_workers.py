"""Lanes: worker processes that outlive a run, and batches of many runs in turn."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from hazard import HazardProcessor

from runkit import until, write_manifest
from speechkit.errors import Drained, EngineFailed
from speechkit.runtime import job
from speechkit.runtime.batching import BatchSizes
from speechkit.runtime.divisions import Divisions
from speechkit.runtime.job import JobOptions
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import Stage
from speechkit.runtime.summary import Summary
from speechkit.serving.web.workers.lane import Lane

Deeds = Mapping[int, str]


class Runs:
    """Runs of the hazard stage in a lane, each in a thread of its own."""

    def __init__(self, folder: Path, lane: Lane) -> None:
        self.folder, self.lane = folder, lane
        self._threads = ThreadPoolExecutor(16)

    def start(
        self,
        name: str,
        *utterances: Mapping[str, Any],
        cancel: threading.Event | None = None,
        opening: Path | None = None,
        **options: Any,
    ) -> Future[Summary]:
        lines = [
            {"audio_filepath": __file__, "id": f"{name}{number}", "duration": 0.5, **utterance}
            for number, utterance in enumerate(utterances)
        ]
        stage = _stage(opening, options)
        return self._threads.submit(
            job.run,
            stage,
            [write_manifest(self.folder / f"{name}.jsonl", lines)],
            JobOptions(output=self.out(name)),
            cancel=cancel,
            begin=lambda divisions, *_: self.lane.joined(divisions),
        )

    def out(self, name: str) -> Path:
        return self.folder / f"{name}.out.jsonl"

    def records(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out(name).read_text().splitlines()]


def _stage(opening: Path | None, options: Mapping[str, Any]) -> Stage:
    return Stage(
        name="hazard",
        processor=HazardProcessor(False, str(opening) if opening else None),
        batch_audio=2.0,
        batch_sizes=BatchSizes(most=4),
        options=options,
    )


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # has the hazard
    lane = Lane(PoolOptions(workers=1, held=1), idle=0.5)
    yield Runs(tmp_path, lane)
    lane.close()
    assert not lane.pids


def test_a_process_outlives_its_run_and_ends_when_nothing_has_come(runs: Runs) -> None:
    runs.start("first", {}, {}).result(20)
    (pid,) = runs.lane.pids
    runs.start("second", {}).result(20)
    assert runs.lane.pids == [pid]
    until(lambda: not psutil.pid_exists(pid), 20)
    runs.start("third", {}).result(20)
    assert runs.lane.pids not in ([], [pid])


@pytest.mark.slow
def test_a_short_run_does_not_wait_for_a_long_one(runs: Runs) -> None:
    log = runs.folder / "parts"
    parts = {"parts": ["slow"] * 6, "log": str(log), "duration": 6.0}
    long = runs.start("long", parts, parts)
    until(lambda: log.exists() and log.stat().st_size > 0, 20)
    short = runs.start("short", {}, {})
    assert short.result(10).done == 2
    assert not long.done()
    assert len(log.read_text().split()) <= 5
    assert long.result(30).done == 2
    assert [part["part"] for part in runs.records("long")[1]["results"]] == list(range(6))


def test_runs_share_a_batch(runs: Runs) -> None:
    """A worker that dies of a batch is replaced, and each of its utterances tried again alone."""
    busy = runs.start("busy", {"do": "slow"})
    until(lambda: bool(runs.lane.pids))
    together = [runs.start(f"r{number}", {"do": deed}) for number, deed in enumerate(["", "kill"])]
    other = runs.start("other", {}, language="de")
    assert busy.result(20).failed == 0
    assert [run.result(20).failed for run in together] == [0, 1]
    assert other.result(20).failed == 0
    assert runs.records("r1")[0]["error"]["type"] == "WorkerDied"
    assert runs.records("r0")[0]["pid_free"] == "done"


def test_a_worker_is_set_up_anew_for_other_options_alone(runs: Runs) -> None:
    opened = runs.folder / "opened"
    for number, language in enumerate(["de", "de", "en", "de"]):
        runs.start(f"r{number}", {}, opening=opened, language=language).result(20)
    assert opened.read_text() == "..."


def test_a_killed_process_costs_a_run_nothing_while_it_has_no_work(runs: Runs) -> None:
    runs.start("first", {}).result(20)
    os.kill(runs.lane.pids[0], signal.SIGKILL)
    assert runs.start("second", {}, {}).result(20).failed == 0


@pytest.mark.slow
def test_a_cancelled_run_leaves_the_others_alone(runs: Runs) -> None:
    cancel = threading.Event()
    log = runs.folder / "parts"
    parts = {"parts": ["slow"] * 6, "log": str(log), "duration": 6.0}
    long = runs.start("long", parts, {}, cancel=cancel)
    until(lambda: log.exists() and len(log.read_text().split()) > 2, 20)
    other = runs.start("other", {}, {})
    cancel.set()
    began = time.monotonic()
    with pytest.raises(Drained):
        long.result(5)
    assert time.monotonic() - began < 2
    assert other.result(20).done == 2
    again = runs.start("long", parts, {})  # the parts that were done are in its journal
    summary = again.result(20)
    assert (summary.done + summary.resumed, summary.failed) == (2, 0)
    assert len(log.read_text().split()) <= 8


def test_an_engine_that_cannot_start_ends_all_runs_and_the_next_try_is_free(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAZARD_OPEN", "raise")
    with pytest.raises(EngineFailed, match="can't be computed"):
        runs.start("first", {}).result(20)
    monkeypatch.delenv("HAZARD_OPEN")
    assert runs.start("first", {}).result(20).failed == 0


def test_options_that_cannot_be_set_up_end_their_own_run_alone(runs: Runs) -> None:
    busy = runs.start("busy", {"do": "slow"})
    until(lambda: bool(runs.lane.pids))
    wrong = runs.start("wrong", {}, opening=runs.folder / "missing" / "file", language="zz")
    others = [runs.start(f"r{number}", {}, language="de") for number in range(2)]
    with pytest.raises(EngineFailed, match="can't start"):
        wrong.result(20)
    assert [run.result(20).failed for run in (busy, *others)] == [0, 0, 0]


def test_a_run_that_leaves_at_once_ends_nothing(runs: Runs) -> None:
    still, left = runs.lane._changed, runs.lane.joined(Divisions(_stage(None, {})))
    with still, left as run:  # so that the lane looks when it is over
        run.waiting.append(())
    assert runs.start("next", {}).result(20).done == 1
