"""The Python API: runs in any thread, with progress and cancellation; its page's examples."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import speechkit
from speechkit.errors import Drained, UsageError
from speechkit.records import Record

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python.md"


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "speech" / "slt", tmp_path / "talks"))


def test_records_come_in_input_order_and_once(talks: Path) -> None:
    files = sorted(talks.glob("*.flac"), reverse=True)
    found = list(speechkit.results(speechkit.manifest_stage(), files))
    assert [record["audio_filepath"] for record in found] == [str(file) for file in files]
    assert all(record["duration"] > 0 for record in found)


def test_an_iterator_that_is_left_stops_its_workers(talks: Path) -> None:
    records = speechkit.results(speechkit.manifest_stage(), [talks])
    next(records)
    records.close()
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    commands = (Path(f"/proc/{child}/cmdline").read_bytes() for child in children)
    assert not [command for command in commands if b"runtime.worker_main" in command]


def test_errors_are_raised_and_nothing_is_printed(
    talks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = speechkit.manifest_stage()
    with pytest.raises(UsageError, match="no such file"):
        speechkit.run(stage, [tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="need an output file"):
        speechkit.run(stage, [talks], speechkit.JobOptions(restart=True))
    options = speechkit.JobOptions(output=str(tmp_path / "out.jsonl"))
    first = speechkit.run(stage, [talks], options)
    again = speechkit.run(stage, [talks], options)
    assert (first.done, again.done, again.resumed) == (first.utterances, 0, first.utterances)
    assert capfd.readouterr() == ("", "")


def test_sources_are_whatever_yields_paths(talks: Path, tmp_path: Path) -> None:
    stage = speechkit.manifest_stage()
    options = speechkit.JobOptions(output=tmp_path / "out.jsonl")
    assert speechkit.run(stage, talks.glob("*.flac"), options).utterances == 2
    with pytest.raises(UsageError, match="sources are a list"):
        speechkit.run(stage, str(talks))
    with pytest.raises(UsageError, match="there are no sources"):
        speechkit.run(stage, [])


def test_a_listener_that_fails_loses_nothing(talks: Path, tmp_path: Path) -> None:
    def fail(progress: speechkit.Progress) -> None:
        if progress.done:
            raise ArithmeticError("listener")

    output = tmp_path / "out.jsonl"
    options = speechkit.JobOptions(output=output, workers=1)
    with pytest.raises(ArithmeticError):
        speechkit.run(speechkit.manifest_stage(), [talks], options, progress=fail)
    assert Path(f"{output}.part").read_text().count("audio_filepath") >= 1


def test_workers_outlive_the_thread_that_started_them(talks: Path) -> None:
    """Until the iterator is closed."""
    records = speechkit.results(speechkit.vad_stage(speechkit.VadOptions(engine="silero")), [talks])
    first: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: first.append(next(records)))
    thread.start()
    thread.join()
    assert not [record for record in [*first, *records] if "error" in record]


def test_a_cancelled_run_goes_on(talks: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    stage = speechkit.vad_stage(speechkit.VadOptions(engine="silero"))
    options = speechkit.JobOptions(output=str(tmp_path / "vad.jsonl"), workers=1)
    seen: list[speechkit.Progress] = []

    def listen(progress: speechkit.Progress) -> None:
        seen.append(progress)
        cancel.set()

    with pytest.raises(Drained, match="cancelled with 0 of"):
        speechkit.run(stage, [talks], options, progress=listen, cancel=cancel)
    assert seen[0].done == 0 and seen[0].total == len(list(talks.glob("*.flac")))
    summary = speechkit.run(stage, [talks], options)
    assert summary.done + summary.resumed == summary.utterances == seen[0].total


IN_A_THREAD = """
import sys, threading, time
import speechkit

stage = speechkit.asr_stage(speechkit.AsrOptions(engine="pocketsphinx"))
options = speechkit.JobOptions(output=sys.argv[1], workers=1)
ticks, progresses, failures = 0, [], []
cancel = threading.Event()

def transcribe():
    try:
        print(speechkit.run(stage, sys.argv[2:], options, progress=listen, cancel=cancel).done)
    except speechkit.Drained as stopped:
        print(stopped)

def listen(progress):
    progresses.append(progress.done)
    if progress.done == 1 and not progress.resumed:
        cancel.set()

for attempt in range(2):
    thread = threading.Thread(target=transcribe)
    thread.start()
    while thread.is_alive():
        ticks += 1
        time.sleep(0.01)
    cancel.clear()
    listen = lambda progress: progresses.append(progress.done)
print(ticks > 10, max(progresses))
"""


@pytest.mark.slow
def test_a_thread_transcribes_while_the_main_one_goes_on(talks: Path, tmp_path: Path) -> None:
    files = [str(file) for file in sorted(talks.glob("*.flac"))[:2]]
    output = tmp_path / "out.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD, output, *files],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    stopped, resumed, ended = done.stdout.splitlines()
    assert stopped.startswith("cancelled with 1 of 2 utterances done; run the same")
    assert (resumed, ended, done.stderr) == ("1", "True 2", "")
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert [record["audio_filepath"] for record in records] == files
    assert all(record["pred_text"] for record in records)


def test_importing_it_is_light() -> None:
    code = (
        "import speechkit, sys; print(sorted({'numpy', 'typer', 'rich', 'torch'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert {"run", "results", "AsrOptions"} <= {*dir(speechkit)}
    with pytest.raises(AttributeError):
        _ = speechkit.nothing  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_examples_of_the_page_run(talks: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    count = len(list(talks.glob("*.flac")))
    assert lines[0].startswith("talks/") or lines[0].startswith(str(talks))
    assert f"{count} 0 0" in lines
    assert f"({count}, 256) ('embeddings',) []" in lines
    assert lines[-1] == f"{count} of {count}"


def test_a_stage_concludes_over_all_its_records_and_over_its_own_conclusion(
    talks: Path, tmp_path: Path
) -> None:
    def numbered(records: Iterator[Record]) -> Iterator[Record]:
        for number, record in enumerate(records):
            yield {**record, "number": record.get("number", number)}

    (talks / "broken.flac").write_bytes(b"fLaC")
    stage = replace(speechkit.manifest_stage(), conclude=numbered)
    streamed = list(speechkit.results(stage, [talks]))
    assert [record["number"] for record in streamed] == list(range(len(streamed)))
    options = speechkit.JobOptions(output=tmp_path / "out.jsonl")
    assert list(speechkit.results(stage, [talks], options)) == streamed
    retried = replace(options, retry_failed=True)
    assert list(speechkit.results(stage, [talks], retried)) == streamed
