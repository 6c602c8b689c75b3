"""SIGTERM, SIGUSR1 and Ctrl-C: what has begun is finished, exit 75, the same command goes on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from faultkit import SPEECHKIT, Run, Unbroken, environment, run

from runkit import entries, part_of, until, write_manifest

HAZARD = (sys.executable, "-m", "hazard")


def _started(going: Run) -> bool:
    """Whether the process has a handler for SIGUSR1 yet, or is gone."""
    with contextlib.suppress(OSError, StopIteration):
        status = Path(f"/proc/{going.process.pid}/status").read_text().splitlines()
        caught = next(line for line in status if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)
    return going.process.poll() is not None


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ten", "silero"])
def test_signals_at_random_moments(
    engine: str, seed: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    unbroken: Unbroken = request.getfixturevalue(engine)
    rng = random.Random(seed)
    out = tmp_path / "out.jsonl"
    drained = 0
    for _ in range(40):
        if drained == 4:
            break
        before = entries(out)
        going = Run(tmp_path, *unbroken.args, "-o", out)
        until(partial(_started, going))
        if going.finishes_within(rng.uniform(0, unbroken.result.seconds * 0.6)):
            assert going.wait().code == 0
            assert out.read_bytes() == unbroken.output
            out.unlink()
            continue
        going.process.send_signal(rng.choice([signal.SIGTERM, signal.SIGUSR1, signal.SIGINT]))
        sent = time.monotonic()
        result = going.wait()
        assert time.monotonic() - sent < 10
        going.assert_no_survivors(seconds=0.5)
        if out.exists():
            assert out.read_bytes() == unbroken.output
            out.unlink()
            continue
        assert result.code == 75, result.err
        assert "run the same command again" in result.err.splitlines()[-1]
        assert before <= entries(out)
        drained += 1
    assert drained == 4
    assert run(tmp_path, *unbroken.args, "-o", out).code == 0
    assert out.read_bytes() == unbroken.output


@pytest.mark.slow
def test_a_drain_does_not_wait_for_what_takes_long(tmp_path: Path) -> None:
    """A worker that hangs and one that holds the interpreter are left after six seconds."""
    lines = [
        {"audio_filepath": f"/none/{number}.wav", "duration": 0.5}
        | ({"do": {0: "hang", 1: "hang-gil"}[number]} if number < 2 else {})
        for number in range(8)
    ]
    source = write_manifest(tmp_path / "in.jsonl", lines)
    names = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    runs = [
        Run(tmp_path, source, tmp_path / f"{name}.jsonl", "--batch-audio", 0.5, command=HAZARD)
        for name in names
    ]
    until(lambda: all(len(going.workers()) == 2 for going in runs))
    time.sleep(1)
    sent = time.monotonic()
    for name, going in zip(names, runs, strict=True):
        going.process.send_signal(name)
    for going in runs:
        assert going.wait().code == 75
        assert time.monotonic() - sent < 10
        going.assert_no_survivors(seconds=0.5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["workers start", "some done"])
def test_signals_until_the_process_is_gone(
    number: signal.Signals, moment: str, ten: Unbroken, tmp_path: Path
) -> None:
    """A second one, sent at any moment of the drain and the interpreter's own end."""
    for attempt in range(2):
        out = tmp_path / f"{attempt}.jsonl"
        going = Run(tmp_path, *ten.args, "-o", out)
        if moment == "workers start":
            until(partial(_started, going))
        else:
            until(lambda out=out: entries(out) > 20)
        while going.process.poll() is None:
            going.process.send_signal(number)
            time.sleep(0.0005)
        assert going.wait().code == 75


class Terminal:
    """A run in a terminal of its own: stdin and stderr are it, stdout where ``out`` is None."""

    def __init__(self, *args: object, out: Path | None = None) -> None:
        self._ours, theirs = pty.openpty()
        self.text = b""
        stdout = theirs if out is None else os.open(out, os.O_CREAT | os.O_WRONLY)
        self.process = subprocess.Popen(
            [*SPEECHKIT, *map(str, args)],
            stdin=theirs,
            stdout=stdout,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
            env=environment("terminal"),
        )
        os.close(theirs)

    def press_ctrl_c(self) -> None:
        os.write(self._ours, b"\x03")

    def read(self, enough: Callable[[], bool], seconds: float = 60.0) -> None:
        """Takes what it prints until it is enough or the run is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not enough():
            if select.select([self._ours], [], [], 0.01)[0]:
                try:
                    self.text += os.read(self._ours, 1 << 16)
                except OSError:
                    break

    def wait(self) -> int:
        self.read(lambda: False)
        os.close(self._ours)
        assert b"Traceback" not in self.text, self.text.decode()
        assert b"internal error" not in self.text, self.text.decode()
        return self.process.wait(10)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["workers start", "some done"])
def test_ctrl_c_in_a_terminal(moment: str, ten: Unbroken, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    terminal = Terminal(*ten.args, "-o", out)
    some = {"workers start": part_of(out).exists, "some done": lambda: entries(out) > 20}[moment]
    terminal.read(some)
    terminal.press_ctrl_c()
    pressed = time.monotonic()
    terminal.read(lambda: b"SIGINT" in terminal.text, seconds=5)
    terminal.press_ctrl_c()
    assert terminal.wait() == 75, terminal.text.decode()
    assert time.monotonic() - pressed < 10
    assert b"run the same command again" in terminal.text
    assert entries(out) < ten.utterances
    assert run(tmp_path, *ten.args, "-o", out).code == 0
    assert out.read_bytes() == ten.output


def test_results_go_to_stdout_though_stderr_is_a_terminal(ten: Unbroken, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    terminal = Terminal(*ten.args, out=out)
    assert terminal.wait() == 0
    assert out.read_bytes() == ten.output
    assert b"audio_filepath" not in terminal.text


def test_results_on_a_terminal_are_whole_lines(few: Path, tmp_path: Path) -> None:
    expected = run(tmp_path, "manifest", few).out
    terminal = Terminal("manifest", few)
    assert terminal.wait() == 0
    assert expected.replace(b"\n", b"\r\n") in terminal.text
