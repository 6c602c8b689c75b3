"""The program that forks for `forkkit`: ``forkserver.py LISTENER [STAGE ENGINE]``.

It imports nothing of heavy engines without an engine, and with one what the workers of that one
import. Where there is a GPU it imports none: what has looked for a GPU can't be forked.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import select
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from fcntl import F_DUPFD, fcntl
from importlib import import_module
from pathlib import Path
from typing import Any

from forkkit import NUMBER, fork_workers, read_by_imports

del sys.path[0]  # the folder of this file
from speechkit import telemetry_off  # noqa: E402

MOST = 8  # descriptors of a request
#: Left to the fork: what reads the environment when it is imported, or starts threads.
HEAVY = ("speechkit.engines", "speechkit.compat", "speechkit.__main__")
LIGHT = ("numpy", "soundfile", "soxr", "omegaconf", "jiwer", "whisper_normalizer.english")
#: Beside speechkit.engines.STAGE.ENGINE.engine.
LATER = {"transformers": ("speechkit.engines.encoders.hubert",)}
GPU = Path("/dev/nvidiactl")


def _import_light_modules() -> None:
    import speechkit

    for module in pkgutil.walk_packages(speechkit.__path__, "speechkit."):
        if not module.name.startswith(HEAVY):
            import_module(module.name)
    for name in LIGHT:
        import_module(name)


def _import_engine(stage: str, name: str) -> None:
    import_module(f"speechkit.engines.{stage}.{name.replace('-', '_')}.engine")
    for later in LATER.get(name, ()):
        import_module(later)
    if name == "nemo":
        from speechkit.compat import home_folder
        from speechkit.compat.deferred_imports import deferred
        from speechkit.engines.asr.nemo import checkpoint

        home_folder.protect()
        with deferred(checkpoint.UNUSED):
            import_module("nemo.collections.asr.models")


# ---------------------------------------------------------------- in the process that forks
def _serve(listener: socket.socket, began_with: Mapping[str, str]) -> dict[str, Any] | None:
    """The request, in a fork that was made for it; None at the end of standard input."""
    sources: list[Any] = [listener, 0]
    while True:
        readable, _, _ = select.select(sources, [], [])
        if listener not in readable:
            _reap(0)
            return None
        connection, _ = listener.accept()
        with connection:
            if os.fork() == 0:
                listener.close()
                return _answer(connection, began_with)
        _reap(os.WNOHANG)


def _reap(options: int) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _answer(connection: socket.socket, began_with: Mapping[str, str]) -> dict[str, Any]:
    """In a fork that waits for the one that it makes; returns in the latter alone."""
    size, descriptors, _, _ = socket.recv_fds(connection, NUMBER.size, MOST)
    text = connection.recv(NUMBER.unpack(size)[0], socket.MSG_WAITALL)
    request: dict[str, Any] = json.loads(text)
    if request["is_worker"] and read_by_imports(request["env"]) != read_by_imports(began_with):
        connection.sendall(NUMBER.pack(0))
        os._exit(0)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _place(dict(zip(request["numbers"], descriptors, strict=True)))
        return request
    for descriptor in descriptors:
        os.close(descriptor)
    with suppress(BrokenPipeError):  # whoever asked has died
        connection.sendall(NUMBER.pack(pid))
        _, status = os.waitpid(pid, 0)
        connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _place(descriptors: Mapping[int, int]) -> None:
    """Each at its number."""
    above = max(*descriptors, *descriptors.values()) + 1
    copies = {number: fcntl(one, F_DUPFD, above) for number, one in descriptors.items()}
    for descriptor in descriptors.values():
        os.close(descriptor)
    for number, copy in copies.items():
        os.dup2(copy, number)
        os.close(copy)


# ---------------------------------------------------------------- in the forks
def _find_packages(began_with: Mapping[str, str]) -> None:
    """Those on a path that the server hasn't had, with engines that have no options."""
    from speechkit.engines import plugins

    path = os.environ.get("PYTHONPATH", "")
    if path != began_with.get("PYTHONPATH", ""):
        sys.path[:0] = [folder for folder in path.split(os.pathsep) if folder not in sys.path]
        plugins._entry_points.cache_clear()
        plugins._loaded.cache_clear()


def _end_at_once(code: Any) -> None:
    """As an interpreter ends, but for the modules: to destroy them copies the server's memory. What
    can't be flushed is left to the interpreter."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    listener, *engine = sys.argv[1:]
    telemetry_off.switch_off()
    began_with = dict(os.environ)
    _import_light_modules()
    if engine and not GPU.exists():
        _import_engine(*engine)
    set_by_imports = {name: os.environ[name] for name in os.environ.keys() - began_with.keys()}
    gc.freeze()  # or every fork would copy the memory that its collector looks at
    request = _serve(socket.socket(fileno=int(listener)), began_with)
    if request is None:
        return
    os.chdir(request["cwd"])
    tempfile.tempdir = None  # what TMPDIR was
    os.environ.clear()
    if request["is_worker"]:
        from speechkit.runtime import worker_main

        os.environ.update(set_by_imports | request["env"])
        sys.argv = ["-c", *request["arguments"]]
        worker_main.main()
        _end_at_once(0)
    else:
        os.environ.update(request["env"])
        _find_packages(began_with)
        telemetry_off.switch_off()
        workers, *arguments = request["arguments"]
        sys.argv[1:] = arguments
        fork_workers(workers)
        from speechkit import cli

        try:
            cli.main()
        except SystemExit as e:
            _end_at_once(e.code or 0)
            raise


if __name__ == "__main__":
    main()
