"""Live transcription over a WebSocket: each connection has a `speechkit stream` of its own."""

from __future__ import annotations

import asyncio
import os
from asyncio import FIRST_COMPLETED, StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from speechkit.errors import SourceFailed, SpeechkitError, UsageError
from speechkit.io.process_failure import FailureFile, failure_file
from speechkit.runtime import interpreter
from speechkit.serving.web.request_errors import RequestError, TooManyRequests

if TYPE_CHECKING:
    from speechkit.serving.web.server import Server

END = "end"  # the client's message behind its last audio
MOST_AUDIO = 1 << 20  # bytes of a message
MOST_EVENT = 1 << 22  # bytes
QUIET = 60.0  # seconds without a message, after which a client is taken for gone
STUCK = 900.0  # seconds in which a process takes no audio; it may be fetching its model
DONE, REFUSED, FAILED, BUSY = 1000, 1008, 1011, 1013  # why a connection is closed, see RFC 6455


def routes(server: Server) -> list[BaseRoute]:
    """``/api/live``. The client sends binary messages of PCM (16 bits, little-endian, mono) and at
    last `END`; it gets the events of the stream, or a message of the type ``error``.

    What a session buffers is bounded: nothing is read from a client while its process has enough to
    do. The process ends with the connection and, for want of a stdin, with the server.
    """
    sessions = LiveSessions(server.settings.max_live)

    async def live(client: WebSocket) -> None:
        await client.accept()
        with suppress(WebSocketDisconnect):
            try:
                command = await asyncio.to_thread(stream_command, client.query_params, server)
                with sessions.one_more():
                    await _transcribe(client, command)
                await client.close(DONE)
            except SpeechkitError as e:
                await client.send_json({"type": "error", "message": str(e).removeprefix("--")})
                await client.close(_reason(e))

    return [WebSocketRoute("/api/live", live)]


@dataclass(slots=True)
class LiveSessions:
    """Counts the sessions, of which there are ``most`` at once."""

    most: int
    running: int = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises `TooManyRequests`."""
        if self.running >= self.most:
            raise TooManyRequests(
                f"{self.most} live transcriptions are running, and this server takes no more at "
                "once; try again when one of them has ended"
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


def stream_command(asked: Mapping[str, str], server: Server) -> list[str]:
    """The command for what a client asks for: ``rate`` in Hz, ``model`` and ``language``. Raises
    `UsageError`, and `UnknownModel` of what the server doesn't offer."""
    rate = asked.get("rate", "")
    if not rate.isdecimal():
        raise UsageError(f"rate={rate}: the sample rate of the audio in Hz is needed, as 16000")
    language = asked.get("language", "")
    if not language.isprintable():
        raise UsageError(f"language={language!r:.40}: a code such as en")
    offered, hardware = server.models.find(asked.get("model")), server.settings.hardware
    values = {
        "rate": rate,
        "engine": offered.engine,
        "model": offered.model,
        "language": language,
        "device": hardware.device,
        "copy-models-to": hardware.model_copies,
    }
    options = [f"--{name}={value}" for name, value in values.items() if value]
    offline = ["--offline"] * hardware.offline
    return interpreter.command("speechkit.cli", "stream", "-", *options, *offline)


async def _transcribe(client: WebSocket, command: Sequence[str]) -> None:
    """One session to its end. Raises what its process failed with, and `WebSocketDisconnect` where
    the client has gone."""
    with failure_file() as failure:
        async with _process(command, failure) as (process, audio, events):
            hearing = asyncio.create_task(_hear(client, audio))
            telling = asyncio.create_task(_tell(client, events))
            try:
                done, _ = await asyncio.wait({hearing, telling}, return_when=FIRST_COMPLETED)
                for task in done:
                    task.result()
                code = await process.wait()
            finally:
                hearing.cancel()
                telling.cancel()
                await asyncio.gather(hearing, telling, return_exceptions=True)
        if code:
            reason = failure.read()
            raise SourceFailed(reason.message if reason else f"its process has died ({code})")


@asynccontextmanager
async def _process(
    command: Sequence[str], failure: FailureFile
) -> AsyncIterator[tuple[Process, StreamWriter, StreamReader]]:
    """A process, its stdin and its stdout; it is killed where it hasn't ended by itself.

    A session of its own, so that Ctrl-C reaches the server alone.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        limit=MOST_EVENT,
        pass_fds=failure.descriptors,
        env={**os.environ, **failure.variables},
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process, process.stdin, process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _hear(client: WebSocket, audio: StreamWriter) -> NoReturn:
    """Hand on what the client says, until it has gone."""
    quiet: float | None = QUIET
    while True:
        try:
            message = await asyncio.wait_for(client.receive(), quiet)
        except asyncio.TimeoutError:
            raise UsageError(f"no audio has come for {QUIET:g} seconds") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", DONE))
        piece = message.get("bytes")
        if message.get("text") == END:
            audio.close()
            quiet = None
        elif piece is None or len(piece) > MOST_AUDIO:
            raise UsageError(
                f"a message holds at most {MOST_AUDIO} bytes of audio, or the text {END!r}"
            )
        elif not audio.is_closing():
            audio.write(piece)
            await _drained(audio)


async def _drained(audio: StreamWriter) -> None:
    """Wait until the process has room for more."""
    try:
        await asyncio.wait_for(audio.drain(), STUCK)
    except asyncio.TimeoutError:
        raise SourceFailed(f"the model has taken no audio for {STUCK:g} seconds") from None
    except ConnectionError:
        pass  # the process has ended, and its failure says why


async def _tell(client: WebSocket, events: StreamReader) -> None:
    """Send each event as it comes."""
    async for line in events:
        await client.send_text(line.decode().rstrip("\n"))


def _reason(error: SpeechkitError) -> int:
    """Why a connection is closed that ends with an error."""
    if isinstance(error, TooManyRequests):
        return BUSY
    return REFUSED if isinstance(error, RequestError | UsageError) else FAILED
