"""The command line in forks of a process that has imported it: real processes, without the start.

A program of its own, which the tests start once: it imports what is light and then forks for every
command. The fork has its own arguments, variables, folder and standard streams, and ends as an
interpreter does.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from struct import Struct
from threading import Timer
from typing import Any

NUMBER = Struct("i")
#: Left to the fork: what reads the environment when it is imported, or starts threads.
HEAVY = ("speechkit.engines", "speechkit.compat", "speechkit.__main__")
LIGHT = ("numpy", "soundfile", "soxr", "omegaconf", "jiwer", "whisper_normalizer.english")


class ForkServer:
    """The process that forks, as the tests see it; for one command at a time."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )

    def close(self) -> None:
        self._socket.close()
        self._process.communicate()

    def run(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bytes = b"",
        cwd: Path = Path(),
        timeout: float = 300.0,
    ) -> subprocess.CompletedProcess[bytes]:
        """As ``subprocess.run`` of ``python -m speechkit`` with ``capture_output``; what takes
        longer than ``timeout`` seconds is killed, and returns -9."""
        ours, theirs = _three_pipes()
        request = json.dumps(
            {"arguments": arguments, "env": dict(env), "cwd": str(cwd.absolute())}
        ).encode()
        socket.send_fds(self._socket, [NUMBER.pack(len(request))], theirs)
        self._socket.sendall(request)
        for descriptor in theirs:
            os.close(descriptor)
        killer = Timer(timeout, os.kill, (self._number(), signal.SIGKILL))
        killer.start()
        with ThreadPoolExecutor(3) as threads:
            threads.submit(_write, ours[0], stdin)
            out, err = (threads.submit(_read, descriptor) for descriptor in ours[1:])
        killer.cancel()
        return subprocess.CompletedProcess(arguments, self._number(), out.result(), err.result())

    def _number(self) -> int:
        received = self._socket.recv(NUMBER.size, socket.MSG_WAITALL)
        assert received, "the process that forks has died"
        number: int = NUMBER.unpack(received)[0]
        return number


@cache
def server() -> ForkServer:
    """This process's."""
    started = ForkServer()
    atexit.register(started.close)
    return started


def _three_pipes() -> tuple[list[int], list[int]]:
    """For standard input, output and error: our ends, and the other process's."""
    (read, write), *others = (os.pipe() for _ in range(3))
    return [write, *(pipe[0] for pipe in others)], [read, *(pipe[1] for pipe in others)]


def _write(descriptor: int, text: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(text)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


# ---------------------------------------------------------------- in the process that forks
def _import_light_modules() -> None:
    import speechkit

    for module in pkgutil.walk_packages(speechkit.__path__, "speechkit."):
        if not module.name.startswith(HEAVY):
            import_module(module.name)
    for name in LIGHT:
        import_module(name)
    gc.freeze()  # or every fork would copy the memory that its collector looks at


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Forks for every request: the request, in the fork; None at the end, in the server."""
    while True:
        size, descriptors, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
        if not size:
            return None
        text = connection.recv(NUMBER.unpack(size)[0], socket.MSG_WAITALL)
        pid = os.fork()
        if pid == 0:
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            connection.close()
            request: dict[str, Any] = json.loads(text)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(NUMBER.pack(pid))
        _, status = os.waitpid(pid, 0)
        connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def main() -> None:
    del sys.path[0]  # the folder of this file
    _import_light_modules()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is None:
        return
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[1:] = request["arguments"]
    from speechkit import cli, telemetry_off

    telemetry_off.switch_off()
    cli.main()


if __name__ == "__main__":
    main()
