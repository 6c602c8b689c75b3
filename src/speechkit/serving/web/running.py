"""The life of a server: from its settings to the signal that ends it."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from speechkit.errors import OutputConflict, UsageError
from speechkit.io import safe_open
from speechkit.io.atomic import output_errors
from speechkit.io.file_names import shown
from speechkit.runtime import logs
from speechkit.runtime.messages import DRAIN_SIGNALS
from speechkit.serving.web.app import make_app
from speechkit.serving.web.guard import Address
from speechkit.serving.web.jobs.jobs import Jobs
from speechkit.serving.web.jobs.transcriber import Transcriber
from speechkit.serving.web.server import Server
from speechkit.serving.web.settings import ServerSettings
from speechkit.serving.web.workers.warm_workers import WarmWorkers
from speechkit.stages.asr.stage import AsrOptions, asr_stage

CONNECTIONS = 500  # at once; more are answered with 503
GRACE = 3.0  # seconds for the answers under way when the server ends
FRAME_BYTES = 1 << 20  # of a message on a WebSocket
LOCK_FILE = "server.pid"  # locked, and names its process


def serve(settings: ServerSettings, announce: Callable[[str], object]) -> None:
    """Serve until a signal comes; jobs that haven't ended go on at the next start.

    ``announce`` gets the address once the server listens. Use it in the main thread. Raises
    `UsageError` for an address that can't be had, `OutputConflict` where another server has the
    data, and the errors of `asr_stage` for engine and model.
    """
    asr_stage(
        AsrOptions(engine=settings.engine, model=settings.model, words=True), settings.hardware
    )
    with (
        _listening(settings) as (listener, address),
        _claimed(settings.data),
        closing(WarmWorkers(idle=settings.idle)) as workers,
        closing(Jobs(settings, Transcriber(settings.hardware, workers))) as jobs,
    ):
        server = Server(settings, address, jobs, workers)
        _Uvicorn(server, announce).run([listener])
        if unfinished := sum(server.unfinished().values()):
            logs.say(f"jobs that go on at the next start: {unfinished}")


class _Uvicorn(uvicorn.Server):
    """uvicorn, which ends with exit code 0 on a signal, and tells those who wait for long."""

    def __init__(self, server: Server, announce: Callable[[str], object]) -> None:
        config = uvicorn.Config(
            make_app(server),
            lifespan="off",
            http="h11",
            ws="websockets-sansio",
            ws_max_size=FRAME_BYTES,
            ws_per_message_deflate=False,  # a small frame could unpack into many large ones
            ws_ping_interval=None,  # an answer waits behind audio that a slow model has yet to hear
            log_config=None,
            access_log=False,
            proxy_headers=False,  # anybody could state another address
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=round(GRACE),
        )
        super().__init__(config)
        self._server = server
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce(self._server.address.url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        name = signal.Signals(sig).name
        logs.say(f"{name}: stopping", "signal", "warning", signal=name)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._server.stopping.set()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals, and not, as uvicorn, raise them once more at the end."""
        handlers = {number: signal.signal(number, self.handle_exit) for number in DRAIN_SIGNALS}
        try:
            yield
        finally:
            for number in handlers:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def _listening(settings: ServerSettings) -> Iterator[tuple[socket.socket, Address]]:
    """The socket on which the server listens. Raises `UsageError`."""
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as e:
        raise UsageError(f"--host {host}: no address of this machine ({e.strerror or e})") from e
    ip = str(address[0])
    if settings.token is None and not ipaddress.ip_address(ip).is_loopback:
        raise UsageError(
            f"--host {host}: other machines can reach it, so it needs --token (or the variable "
            "SPEECHKIT_SERVE_TOKEN, which other users of this machine can't see)"
        )
    try:
        listener = socket.create_server((ip, port), family=family)
    except OSError as e:
        raise UsageError(_problem(host, port, e)) from e
    with listener:
        names = tuple(name.lower() for name in settings.allowed_hosts)
        yield listener, Address(host, ip, listener.getsockname()[1], names)


def _problem(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: in use by another program; take another one, or 0 for a free one"
    if error.errno == errno.EACCES:
        return f"--port {port}: only root may use it; take one from 1024 on"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: no address of this machine"
    return f"--host {host}: {os.strerror(error.errno or 0)}"


@contextmanager
def _claimed(data: Path) -> Iterator[None]:
    """Keep other servers away from the data.

    Raises `UsageError`, `OutputConflict` and `OutputFailed`.
    """
    with output_errors(data):
        if data.exists() and not data.is_dir():
            raise UsageError(f"--data {shown(data)}: is no folder")
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = safe_open.open_append(data / LOCK_FILE)
    with file:
        try:
            safe_open.lock(file)
        except OSError as e:
            if e.errno != errno.EWOULDBLOCK:
                raise
            raise OutputConflict(f"--data {shown(data)}: another server is using it") from e
        with output_errors(data):
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
            file.flush()
        yield
