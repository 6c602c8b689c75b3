"""A stream that goes on: what its output and its log hold, and what they may not hold."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from livekit import Loudness
from runkit import part_of
from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import OutputConflict, OutputFailed, UsageError
from speechkit.io.run_identity import RunIdentity
from speechkit.records import Word
from speechkit.runtime.worker_plan import Hardware
from speechkit.serving.sources.source import Source
from speechkit.serving.stream import pcm_log, resumable
from speechkit.serving.stream.clock import VirtualClock
from speechkit.serving.stream.engines import Engines, find_engines
from speechkit.serving.stream.hearing import Listener
from speechkit.serving.stream.journal import StreamJournal
from speechkit.serving.stream.options import StreamOptions
from speechkit.serving.stream.resumable import LIVE, StreamOutput
from speechkit.serving.stream.run import run
from speechkit.serving.stream.state import SessionState
from speechkit.stages.asr.stage import AsrOptions

if TYPE_CHECKING:
    from speechkit.engines.protocols import AsrEngine, VadEngine

SECONDS = 60  # of silence
PIECE = 10 * SAMPLE_RATE


class Fast(Engines):
    """`Loudness` and silero."""

    def build(self) -> tuple[AsrEngine, VadEngine]:
        return Loudness(), registry.create("vad", "silero")


class Silence(Source):
    """A pipe with so many ``seconds`` of it, which then fails if it is ``broken``; ``logged``: the
    seconds in the ``log`` when it has given all but the last."""

    name = "silence"

    def __init__(self, length: float, log: Path, *, broken: bool = False) -> None:
        self.remarks = deque()
        self.logged = 0.0
        self._length, self._log, self._broken = length, log, broken

    def blocks(self) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
        for _ in range(round(self._length)):
            yield np.zeros(SAMPLE_RATE, np.float32)
            sizes = (path.stat().st_size for path in self._log.glob("*.f32"))
            self.logged = sum(sizes) / 4 / SAMPLE_RATE
        if self._broken:
            raise UsageError("the command before this one has failed")


@pytest.fixture
def listener() -> Listener:
    found = find_engines(AsrOptions(engine="pocketsphinx"), Hardware(), "silero")
    engines = Fast(asr=found.asr, vad=found.vad, options=found.options, packages=())
    return Listener(engines=engines, options=StreamOptions(step=1.0), clock=VirtualClock())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def cut(listener: Listener, out: Path, monkeypatch: pytest.MonkeyPatch) -> Silence:
    """A stream of silence that was cut after most of it."""
    monkeypatch.setattr(pcm_log, "PIECE", PIECE)
    monkeypatch.setattr(resumable, "PIECE", PIECE)
    source = Silence(SECONDS - 5, out.with_name("events.jsonl.audio"), broken=True)
    with pytest.raises(UsageError, match="has failed"):
        run(source, listener, StreamOutput(path=out), say=print)
    return source


def _go_on(listener: Listener, out: Path, seconds: float = 5) -> list[dict[str, Any]]:
    source = Silence(seconds, out.with_name("events.jsonl.audio"))
    fresh = replace(listener, clock=VirtualClock())
    run(source, fresh, StreamOutput(path=out), say=print)
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def test_the_log_of_a_long_silence_stays_small(cut: Silence, listener: Listener, out: Path) -> None:
    """And its stream goes on as if it had never been cut."""
    assert cut.logged < SECONDS / 2 + 15
    assert _go_on(listener, out) == [
        {"type": "gap", "start": 0.0, "end": 60.0, "emitted": 60.0, "reason": "silence"},
        {"type": "end", "seconds": 60.0, "emitted": 60.0},
    ]
    assert not out.with_name("events.jsonl.audio").exists()


HEARD = SessionState(heard=10 * SAMPLE_RATE, anchor=8 * SAMPLE_RATE, ended=9.0, settled=9.0)
BEHIND = Word("later", 1e15, 1e15)


@pytest.mark.parametrize(
    "state",
    [
        replace(HEARD, anchor=11 * SAMPLE_RATE),
        replace(HEARD, begin=11 * SAMPLE_RATE),
        replace(HEARD, settled=11.0),
        replace(HEARD, ended=11.0),
        replace(HEARD, said=(BEHIND,)),
        replace(HEARD, previous=(BEHIND,)),
        replace(HEARD, said=(Word("\udcff", 8.0, 9.0),)),
        replace(HEARD, said=(Word("a", 8.0, 9.0, chars=(Word("\udcff", 8.0, 9.0),)),)),
    ],
)
def test_a_state_that_no_session_reaches_is_refused(
    listener: Listener, out: Path, state: SessionState
) -> None:
    HEARD.require_possible()
    identity = RunIdentity("stream", listener.pinned, LIVE, 1)
    with StreamJournal(out, identity) as journal:
        journal.append([], asdict(state))
    before = part_of(out).read_bytes()
    with pytest.raises(OutputConflict, match="holds what no stream has written"):
        _go_on(listener, out)
    assert part_of(out).read_bytes() == before


def test_a_damaged_log_is_said(cut: Silence, listener: Listener, out: Path) -> None:
    piece = max(out.with_name("events.jsonl.audio").iterdir())
    with open(piece, "r+b") as file:
        file.write(np.full(10, np.nan, "<f4").tobytes())
    with pytest.raises(OutputFailed, match=f"{piece.name}: is damaged; --restart begins"):
        _go_on(listener, out)


def test_a_folder_that_holds_something_else_stays(listener: Listener, out: Path) -> None:
    note = out.with_name("events.jsonl.audio") / "note.txt"
    note.parent.mkdir()
    note.write_text("mine")
    _go_on(listener, out, 1)
    assert [path.name for path in note.parent.iterdir()] == ["note.txt"]
