"""speechkit's reader in a process of its own, limited in time and memory, that a file may kill."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import resource
import signal
import traceback
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import av  # noqa: F401 - all that the reader loads is loaded before memory is limited
import numpy as np
import soundfile
import soxr

from odd_audio import files
from odd_audio.files import Sound
from speechkit.errors import SpeechkitError

LIMIT = 20.0  # seconds for one file
START = 120.0  # seconds for the imports
MEMORY = 2 << 30  # bytes of address space that reading may take
HEAVY = 1 << 30  # bytes of resident memory that no file of some seconds is worth
NOTHING = Sound(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``fault``: error, hang, memory or crash where it came to no end; ``sound`` then is none.

    ``probed``: seconds by the header. ``decoder``: the library that takes the file.
    """

    fault: str = ""
    sound: Sound = NOTHING
    probed: float = 0.0
    flags: tuple[str, ...] = ()
    detail: str = ""
    decoder: str = ""


class Worker:
    """Reads files until one of them kills it; the next gets a new process."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._log), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(START):
            raise TimeoutError(f"the reader's process has not begun after {START:g} s")
        self._pipe.recv()

    def read(self, path: Path) -> Outcome:
        self._pipe.send(path)
        if not self._pipe.poll(LIMIT):
            return self._died("hang")
        try:
            outcome: Outcome = self._pipe.recv()
        except EOFError:
            return self._died("crash")
        return outcome

    def _died(self, fault: str) -> Outcome:
        if fault == "hang" and self._process.pid:
            os.kill(self._process.pid, signal.SIGABRT)  # faulthandler writes where it is
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        log = self._log.read_text("utf-8", "replace")
        frames = re.findall(r'File "(?:.*/)?(\S+)", line (\d+) in (\S+)', log)
        where = " < ".join(f"{file}:{line} {what}" for file, line, what in islice(frames, 3))
        self._start()
        return Outcome(fault, detail=f"{name} {where}")


def _serve(pipe: Connection, log: Path) -> None:
    """A path in, an outcome out, until the pipe ends or a file kills the process."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    faulthandler.enable()
    soxr.resample(np.zeros(1, np.float32), 1, 2)
    limit = _status("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send("ready")
    while True:
        try:
            path = pipe.recv()
        except EOFError:
            return
        os.ftruncate(2, 0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        outcome = _tried(path)
        grown = _status("VmHWM") - before
        if grown > HEAVY:
            outcome = Outcome("memory", detail=f"{grown >> 20} MB; {outcome}")
        pipe.send(replace(outcome, decoder=_decoder(path)))


def _status(name: str) -> int:
    """Bytes of this process: VmSize, VmRSS, or VmHWM, the highest VmRSS so far."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) << 10 if found else 0


def _tried(path: Path) -> Outcome:
    try:
        reading = files.read(path)
    except MemoryError as e:
        return Outcome("memory", detail=_last_frames(e))
    except SpeechkitError as e:
        message = str(e)
        proper = type(e).__name__.startswith("Audio") and message.startswith(f"{path}: ")
        fault = "error" if proper and message.isprintable() else "crash"
        if "allocate memory" in message:
            fault = "memory"
        return Outcome(fault, detail=f"{type(e).__name__}: {message.removeprefix(f'{path}: ')}")
    except Exception as e:
        return Outcome("crash", detail=_last_frames(e))
    return Outcome("", files.measured(reading.waveform), reading.probed, reading.flags)


def _last_frames(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " > ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames)
    return f"{type(error).__name__}: {error} ({places})"


def _decoder(path: Path) -> str:
    try:
        return f"libsndfile {soundfile.info(str(path)).format}"
    except RuntimeError:
        return "PyAV"
