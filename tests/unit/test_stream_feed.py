"""The steps in which a stream's audio is taken, on both clocks, and the reader behind them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from speechkit.errors import SourceFailed
from speechkit.serving.sources.source import Source
from speechkit.serving.stream import clock as clocks
from speechkit.serving.stream.clock import Clock, VirtualClock, WallClock
from speechkit.serving.stream.feed import AHEAD, Feed

RATE = 16_000
STEP = 0.5
Waveform = NDArray[np.float32]


class Blocks(Source):
    """A source of numbered samples; ``before``: called with the number of each block."""

    name = "blocks"

    def __init__(
        self,
        lengths: Sequence[float],
        *,
        error: Exception | None = None,
        is_live: bool = False,
        before: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.remarks: deque[str] = deque()
        self.is_live = is_live
        self.read = 0  # samples
        self._lengths, self._error, self._before = lengths, error, before

    def blocks(self) -> Iterator[Waveform]:
        for number, seconds in enumerate(self._lengths):
            self._before(number)
            start = self.read
            self.read += round(seconds * RATE)
            yield np.arange(start, self.read, dtype=np.float32)
        if self._error:
            raise self._error


def taken(feed: Feed) -> list[Waveform]:
    steps = []
    while (step := feed.take()) is not None:
        steps.append(step)
    return steps


def until(condition: Callable[[], bool]) -> None:
    ends = time.time() + 30
    while not condition():
        assert time.time() < ends
        time.sleep(0.002)


class Silent:
    """Nobody listens to what is said."""

    def __call__(self, sentence: str) -> None:
        raise AssertionError(sentence)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that wall clocks read, in a list so that it can be moved on."""
    times = [1000.0]
    monkeypatch.setattr(clocks.time, "monotonic", lambda: times[0])
    return times


@pytest.mark.parametrize("lengths", [[2.3], [0.01] * 230, [0.7, 0.1, 1.5]])
def test_steps_are_exact_on_the_virtual_clock(lengths: list[float]) -> None:
    clock = VirtualClock()
    with Feed(Blocks(lengths), clock, step=STEP, say=Silent()) as feed:
        for number in range(1, 5):
            step = feed.take()
            assert step is not None
            assert len(step) == 8000
            assert step[0] == (number - 1) * 8000
            assert clock.now() == number * STEP
        (rest,) = taken(feed)
        assert len(rest) == round(0.3 * RATE)
        assert clock.now() == 2.3
        assert feed.take() is None


def test_a_resumed_stream_goes_on_at_its_time() -> None:
    clock = VirtualClock()
    with Feed(Blocks([1.0]), clock, step=STEP, say=Silent(), heard=10 * RATE) as feed:
        assert clock.now() == 10
        feed.take()
        assert clock.now() == 10.5


def test_the_error_comes_after_the_last_block() -> None:
    source = Blocks([0.7], error=SourceFailed("it broke off"))
    for clock in (VirtualClock(), WallClock()):
        with Feed(source, clock, step=STEP, say=Silent()) as feed:
            samples = 0
            with pytest.raises(SourceFailed, match="it broke off"):
                while (step := feed.take()) is not None:
                    samples += len(step)
            assert samples == round(0.7 * RATE)


def test_the_wall_clock_starts_with_the_first_sample(wall: list[float]) -> None:
    arrives = threading.Event()

    def before(number: int) -> None:
        if number == 0:
            arrives.wait()
        else:
            wall[0] += 0.7

    clock = WallClock()
    with Feed(Blocks([0.1, 0.4], before=before), clock, step=STEP, say=Silent()) as feed:
        wall[0] += 60  # of silence before anything is piped
        arrives.set()
        feed.take()
        assert clock.now() == pytest.approx(0.8)


def test_steps_lengthen_when_falling_behind_which_is_said(wall: list[float]) -> None:
    """A live source gives 0.1 s of audio every 0.1 s; whoever takes it is busy for a while."""
    due = threading.Semaphore(0)
    source = Blocks([0.1] * 400, is_live=True, before=lambda number: due.acquire() and None)
    said: list[str] = []

    def passes(seconds: float) -> None:
        for _ in range(round(10 * seconds)):
            before = source.read
            due.release()
            until(lambda before=before: source.read > before)
            wall[0] += 0.1

    with Feed(source, WallClock(), step=STEP, say=said.append) as feed:

        def take() -> float:
            until(lambda: feed._arrived == source.read)
            step = feed.take()
            assert step is not None
            return len(step) / RATE

        passes(0.5)
        assert take() == pytest.approx(0.5)
        passes(2.0)
        assert take() == pytest.approx(2.0)
        assert said == []
        for _ in range(2):  # it is said each time, but once
            passes(6.5)
            assert take() == pytest.approx(6.5)
            passes(5.0)
            assert take() == pytest.approx(5.0)
            passes(0.5)
            assert take() == pytest.approx(0.5)
        assert [sentence.partition(";")[0] for sentence in said] == [
            "fell behind by 6 s",
            "has caught up",
        ] * 2
        due.release(400)


@pytest.mark.parametrize("work", [0.0, 5.0])
def test_the_clock_waits_for_a_source_that_pauses(work: float, wall: list[float]) -> None:
    waits, goes_on = threading.Event(), threading.Event()

    def before(number: int) -> None:
        if number == 1:
            waits.set()
            goes_on.wait()

    clock = WallClock()
    with Feed(Blocks([0.5, 0.5], before=before), clock, step=STEP, say=Silent()) as feed:
        feed.take()
        waits.wait()
        wall[0] += work

        def after_a_minute() -> None:
            wall[0] += 60
            goes_on.set()

        threading.Timer(0.1, after_a_minute).start()
        feed.take()
        assert clock.now() == pytest.approx(max(1.0, 0.5 + work))  # never set back


def test_a_source_that_can_wait_is_read_later() -> None:
    source = Blocks([1.0] * 1000)
    with Feed(source, VirtualClock(), step=STEP, say=Silent()) as feed:
        until(lambda: source.read >= AHEAD * RATE)
        for _ in range(20):
            feed.take()
            assert source.read <= (AHEAD + 12) * RATE
        until(lambda: source.read >= (AHEAD + 10) * RATE)


def test_a_live_source_is_never_held_up() -> None:
    source = Blocks([1.0] * 40, is_live=True)
    with Feed(source, WallClock(), step=STEP, say=Silent()) as feed:
        until(lambda: source.read == 40 * RATE)
        assert sum(map(len, taken(feed))) == 40 * RATE


def test_remarks_are_said_where_the_audio_is_taken() -> None:
    said: list[tuple[str, str]] = []
    source = Blocks([0.1])
    source.remarks.append("this is odd")

    def say(sentence: str) -> None:
        said.append((sentence, threading.current_thread().name))

    with Feed(source, VirtualClock(), step=STEP, say=say) as feed:
        taken(feed)
    assert said == [("this is odd", threading.current_thread().name)]


def test_closing_ends_the_reader() -> None:
    source = Blocks([1.0] * 1000)
    with Feed(source, VirtualClock(), step=STEP, say=Silent()) as feed:
        until(lambda: source.read >= AHEAD * RATE)
    assert not feed._thread.is_alive()


def test_a_pipe_that_hurries_is_never_heard_before_it_is_there(wall: list[float]) -> None:
    source = Blocks([1.0] * 60)
    clock = WallClock()
    with Feed(source, clock, step=STEP, say=Silent()) as feed:
        heard = 0.0
        while True:
            until(lambda: feed._queued >= AHEAD * RATE or source.read == 60 * RATE)
            step = feed.take()
            if step is None:
                break
            heard += len(step) / RATE
            assert clock.now() == pytest.approx(heard)
            wall[0] += 5  # of work, at twice the speed of the audio, which isn't falling behind
    assert heard == 60


def test_a_first_block_longer_than_a_step_came_early(wall: list[float]) -> None:
    """As from a pipe that hurries, or from a log."""
    clock = WallClock()
    with Feed(Blocks([8.0]), clock, step=STEP, say=Silent()) as feed:
        until(lambda: feed._has_ended)
        wall[0] += 0.3  # of work
        (step,) = taken(feed)
        assert clock.now() == len(step) / RATE == 8.0


@pytest.mark.parametrize("clock", [VirtualClock(), WallClock()])
def test_stopped_the_stream_ends_with_what_was_read(clock: Clock) -> None:
    stopped = threading.Event()
    goes_on = threading.Event()
    source = Blocks([0.7] * 3, before=lambda number: number < 2 or goes_on.wait() or None)
    with Feed(source, clock, step=1.0, say=Silent(), stopped=stopped.is_set) as feed:
        until(lambda: feed._queued == 22_400)
        samples = len(feed.take())
        threading.Timer(0.1, stopped.set).start()
        samples += sum(map(len, taken(feed)))  # although more may come for minutes
        assert samples == 22_400
        goes_on.set()
    assert feed.take() is None


WAITING = """
import signal
from speechkit.errors import Drained
from speechkit.serving.sources.opening import open_source
from speechkit.serving.sources.source import SourceOptions
from speechkit.serving.stream.clock import WallClock
from speechkit.serving.stream.feed import Feed

def stop(*_):
    raise Drained("stopped")

signal.signal(signal.SIGINT, stop)
source = open_source("-", SourceOptions(rate=16000))
try:
    with Feed(source, WallClock(), step=0.5, say=print) as feed:
        while True:
            print(len(feed.take()), flush=True)
except Drained as e:
    print(e)
"""


def test_a_signal_does_not_wait_for_a_silent_pipe() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(bytes(16_000))
        process.stdin.flush()
        assert process.stdout.readline() == b"8000\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0  # stdin is still open
        assert process.stdout.read() == b"stopped\n"


def test_both_clocks_are_clocks() -> None:
    for clock in (VirtualClock(), WallClock()):
        is_clock: Clock = clock
        is_clock.set(3.0)
        assert is_clock.now() == pytest.approx(3.0, abs=5)
