"""Real runs of the real command line, and ways to harm them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import forkkit
from runkit import entries, records, until

HERE = Path(__file__).parent
SPEECHKIT = (sys.executable, "-m", "speechkit")
MARK = "FAULTS_RUN"  # a variable that marks a run's main process and its workers


@dataclass(frozen=True)
class Result:
    code: int
    out: bytes
    err: str
    seconds: float


@dataclass(frozen=True)
class Unbroken:
    """What a run that nobody disturbs makes of the speech."""

    args: tuple[object, ...]  # all but the output
    output: bytes
    result: Result

    @property
    def utterances(self) -> int:
        return self.output.count(b"\n")


class Run:
    """A process in the background; its stdout and stderr go to files, so it never waits for us."""

    def __init__(self, folder: Path, *args: object, command: Sequence[str] = SPEECHKIT) -> None:
        self._mark = uuid.uuid4().hex
        self._logs = folder / f"run-{self._mark}"
        self._logs.mkdir()
        self._began = time.monotonic()
        with open(self._logs / "out", "wb") as out, open(self._logs / "err", "wb") as err:
            self.process = subprocess.Popen(
                [*command, *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(self._mark),
            )

    def wait(self, timeout: float = 120.0) -> Result:
        code = self.process.wait(timeout)
        seconds = time.monotonic() - self._began
        out, err = (self._logs / "out").read_bytes(), (self._logs / "err").read_text()
        _judge(err)
        return Result(code, out, err, seconds)

    def finishes_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            threads = Path(f"/proc/{self.process.pid}/task").iterdir()
            children = " ".join((thread / "children").read_text() for thread in threads)
            return [psutil.Process(int(child)) for child in children.split()]
        return []

    def survivors(self) -> list[int]:
        """Processes of this run that still live."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != "zombie":
                    found.append(process.pid)
        return found

    def assert_no_survivors(self, seconds: float = 5.0) -> None:
        until(lambda: not self.survivors(), seconds, "a worker outlived its run", every=0.05)


def environment(mark: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, MARK: mark}


def run(folder: Path, *args: object, command: Sequence[str] = SPEECHKIT) -> Result:
    """To its end. The command line in a fork, which is quicker than a `Run`."""
    if command is not SPEECHKIT:
        return Run(folder, *args, command=command).wait()
    began = time.monotonic()
    done = forkkit.run([*map(str, args)], env=os.environ, timeout=120)
    err = done.stderr.decode()
    _judge(err)
    return Result(done.returncode, done.stdout, err, time.monotonic() - began)


def _judge(err: str) -> None:
    assert "Traceback" not in err, err
    assert "internal error" not in err, err


def kill_in_mid_run(folder: Path, *args: object, out: Path, done: int = 50) -> None:
    """Leaves the part of a run that was killed with more utterances done than that. The run, and
    its workers, are forks."""
    words = [*map(str, args), "-o", str(out)]
    command = [forkkit.server(*forkkit.heavy_engine(words)), *words]
    log = folder / "killed.err"
    for _ in range(5):
        with open(os.devnull, "r+b") as nothing, open(log, "wb") as err:
            standard = {0: nothing.fileno(), 1: nothing.fileno(), 2: err.fileno()}
            going = forkkit.Fork(forkkit.server(), command, os.environ, folder, standard)
        until(lambda: entries(out) > done or out.exists(), 120)
        going.kill()
        code = going.wait(120)
        _judge(log.read_text())
        log.unlink()
        if code == -signal.SIGKILL and not out.exists():
            return
        out.unlink()  # it was faster than the kill
    pytest.fail("no run was slow enough to be killed")


def errors(out: Path | bytes) -> list[str | None]:
    return [record["error"]["type"] if "error" in record else None for record in records(out)]


def one_sentence(result: Result) -> str:
    """The only line on stderr."""
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("speechkit: "), result.err
    return result.err


@contextlib.contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own. Skips where it can't be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
