"""The command line, and its workers, in forks of processes that have imported what they need: real
processes, without the start.

A server is a program of its own, which imports and then forks for every request; the fork has its
own arguments, variables, folder and descriptors, and ends as an interpreter does. One forks the
commands and light workers, another the workers of each heavy engine; all processes of a test run
share them. What a run is as a tree of processes, tests/faults and tests/slurm see on runs that are
started as users start them.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from struct import Struct
from threading import Timer
from types import SimpleNamespace

SERVER = Path(__file__).with_name("forkserver.py")
NUMBER = Struct("i")
#: Engines whose workers have a server of their own, by stage; each stage's default comes first.
ENGINES = {"asr": ("faster-whisper", "whisper", "nemo"), "s2s": ("transformers",)}
FOLDER = "FORKKIT_FOLDER"  # a variable
LIFE = "life"  # a pipe in the folder, at whose end the servers end
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # as workers have them
#: Beginnings of variables that nothing reads when it is imported; some are a shell's. Those of the
#: last three lines are set by imports in a process of tests, and are none of a command's own.
FREE = (
    *("SPEECHKIT_", "TMPDIR", "PYTEST_", "PATH", "PWD", "OLDPWD", "SHLVL", "PARALLEL"),
    *("KMP_", "TORCHINDUCTOR_CACHE_DIR", "PYTORCH_NVML_BASED_CUDA_CHECK", "NUMBA_CACHE_DIR"),
    *("MPLCONFIGDIR", "HF_HUB_DISABLE_PROGRESS_BARS", "TOKENIZERS_PARALLELISM"),
    *("CUDA_MODULE_LOADING",),
)


def hold() -> Callable[[], None]:
    """Makes the folder of the servers that this process and those that it starts share. The servers
    live until what is returned is called, or this process ends."""
    folder = Path(tempfile.mkdtemp())
    os.mkfifo(folder / LIFE)
    held = os.open(folder / LIFE, os.O_RDWR)
    os.environ[FOLDER] = str(folder)

    def release() -> None:
        os.close(held)
        shutil.rmtree(folder)

    return release


def shared(name: str, make: Callable[[Path], object]) -> Path:
    """The folder of this name, which one of a test run's processes makes for all."""
    folder = Path(os.environ[FOLDER]) / name
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
            make(unfinished)
            unfinished.rename(folder)
    return folder


@cache
def server(*engine: str) -> str:
    """The address of the process that forks all that is light, or the workers of an engine."""
    folder = Path(os.environ[FOLDER])
    address = folder / ("-".join(engine) or "light")
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            _start_server(address, engine, folder / LIFE)
    return str(address)


def _start_server(address: Path, engine: Sequence[str], life: Path) -> None:
    threads = dict.fromkeys(THREADS, os.environ.get("OMP_NUM_THREADS", "1"))
    with socket.socket(socket.AF_UNIX) as listener, open(life, "rb", 0) as lives:
        listener.bind(str(address))
        listener.listen()
        subprocess.Popen(
            [sys.executable, SERVER, str(listener.fileno()), *engine],
            pass_fds=[listener.fileno()],
            stdin=lives,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **threads},
        )


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bytes = b"",
    cwd: Path = Path(),
    timeout: float = 300.0,
) -> subprocess.CompletedProcess[bytes]:
    """As ``subprocess.run`` of ``python -m speechkit`` with ``capture_output``; what takes longer
    than ``timeout`` seconds is killed, and returns -9."""
    workers = server(*heavy_engine(arguments))
    command = workers if "--train-quantizer" in arguments else server()  # computes itself
    (stdin_read, stdin_write), (out_read, out_write), (err_read, err_write) = (
        os.pipe() for _ in range(3)
    )
    theirs = (stdin_read, out_write, err_write)
    fork = Fork(command, [workers, *arguments], env, cwd, dict(enumerate(theirs)))
    for descriptor in theirs:
        os.close(descriptor)
    killer = Timer(timeout, fork.kill)
    killer.start()
    with ThreadPoolExecutor(3) as threads:
        threads.submit(_write, stdin_write, stdin)
        out, err = threads.submit(_read, out_read), threads.submit(_read, err_read)
    code = fork.wait()
    killer.cancel()
    return subprocess.CompletedProcess(arguments, code, out.result(), err.result())


def program(folder: Path) -> Path:
    """Writes ``folder``/speechkit, for a shell: it runs the command line in forks, whose workers
    have their stage's default engine."""
    engines = [(), *((stage, names[0]) for stage, names in ENGINES.items())]
    servers = {engine: server(*engine) for engine in engines}
    path = folder / "speechkit"
    path.write_text(
        f"#!{sys.executable} -I\nimport sys\nsys.path.insert(0, {str(SERVER.parent)!r})\n"
        f"import forkkit\nsys.exit(forkkit.run_here({servers!r}))\n"
    )
    path.chmod(0o755)
    return path


def run_here(servers: Mapping[tuple[str, ...], str]) -> int:
    """What this process was called with, in its folder; returns the exit code of a shell.
    ``servers``: each one's address by its engine."""
    arguments = sys.argv[1:]
    workers = servers.get(heavy_engine(arguments), servers[()])
    standard = {number: number for number in range(3)}
    code = Fork(servers[()], [workers, *arguments], os.environ, Path.cwd(), standard).wait()
    return code if code >= 0 else 128 - code


def heavy_engine(arguments: Sequence[str]) -> tuple[str, ...]:
    """What `server` takes for the workers of a command line: its stage and engine, if heavy."""
    stage = arguments[0] if arguments else ""
    engines = ENGINES.get(stage, ())
    name = engines[0] if engines else ""
    if "--engine" in arguments[:-1]:
        name = arguments[arguments.index("--engine") + 1]
    return (stage, name) if name in engines else ()


def read_by_imports(env: Mapping[str, str]) -> dict[str, str]:
    """What imports may have read of these variables."""
    return {name: env[name] for name in env if name != "_" and not name.startswith(FREE)}


def _write(descriptor: int, text: bytes) -> None:
    with suppress(BrokenPipeError), open(descriptor, "wb") as file:
        file.write(text)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


class Refused(Exception):
    """The fork would have variables that are too different from the server's."""


class Fork:
    """A fork that a server makes, with what is used here of ``subprocess.Popen``.

    ``arguments``: for a command, the address of its workers' server and those of the command line;
    for a worker, its own. ``descriptors``: by the number that each is to have.
    """

    def __init__(
        self,
        address: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        descriptors: Mapping[int, int],
        *,
        is_worker: bool = False,
    ) -> None:
        self.returncode: int | None = None
        self.stderr = None  # no pipe of its own
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        request = {
            "arguments": arguments,
            "env": dict(env),
            "cwd": str(cwd.absolute()),
            "numbers": [*descriptors],
            "is_worker": is_worker,
        }
        text = json.dumps(request).encode()
        socket.send_fds(self._socket, [NUMBER.pack(len(text))], [*descriptors.values()])
        self._socket.sendall(text)
        self.pid = self._number()
        if not self.pid:
            self._socket.close()
            raise Refused

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if timeout is not None:
                timeout = max(0.0, timeout)
            if not select.select([self._socket], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            self.returncode = self._number()
            self._socket.close()
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _number(self) -> int:
        received = self._socket.recv(NUMBER.size, socket.MSG_WAITALL)
        assert received, "the process that forks has died"
        number: int = NUMBER.unpack(received)[0]
        return number


def fork_workers(address: str) -> None:
    """From now on the workers that this process starts are forks of a server, where they can be."""
    from speechkit.runtime import worker_process

    names = {**vars(subprocess), "Popen": partial(_start_worker, address)}
    worker_process.subprocess = SimpleNamespace(**names)  # type: ignore[attr-defined, assignment]


def _start_worker(
    address: str,
    command: Sequence[str],
    *,
    stdin: int,
    stderr: int | None = None,
    pass_fds: Sequence[int],
    env: dict[str, str],
) -> Fork | subprocess.Popen[bytes]:
    """What ``subprocess.Popen`` would start, where it has to."""
    with open(os.devnull) as nothing, suppress(Refused):
        if stderr == subprocess.PIPE:
            raise Refused
        own = {one: one for one in (1, *pass_fds)}
        own |= {0: nothing.fileno(), 2: 2 if stderr is None else stderr}
        return Fork(address, command[3:], env, Path.cwd(), own, is_worker=True)
    return subprocess.Popen(command, stdin=stdin, stderr=stderr, pass_fds=pass_fds, env=env)
