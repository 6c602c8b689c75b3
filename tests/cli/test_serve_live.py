"""Live transcription by a server's WebSocket, in real processes."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import loudness
from runkit import records, until
from serverkit import Served
from streamkit import kept, stream

RATE = 16_000
RAW = ("-", "--rate", RATE, "--pace", "max")
PIECE = 3201  # bytes of a message: they may end within a sample


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The clock is that of the audio, so that the events are the same each time."""
    return {
        **loudness.declared(tmp_path_factory.mktemp("site")),
        "SPEECHKIT_STREAM_PACE": "max",
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("served") / "data"
    with Served(data, "--engine", "loudness", environment=env) as server:
        yield server


@pytest.fixture(scope="module")
def pcm(examples: Path) -> bytes:
    samples, _ = soundfile.read(examples / "slt" / "coffee.flac", dtype="int16")
    return samples.astype("<i2").tobytes()


def live(served: Served, query: str = f"rate={RATE}", **options: Any) -> ClientConnection:
    return connect(f"ws{served.url.removeprefix('http')}api/live?{query}", **options)


def said(connection: ClientConnection, audio: bytes) -> list[dict[str, Any]]:
    """All events of a session."""
    for at in range(0, len(audio), PIECE):
        connection.send(audio[at : at + PIECE])
    connection.send("end")
    return [json.loads(message) for message in connection]


def refused(connection: ClientConnection) -> tuple[str, int]:
    """The sentence and the code with which a session ends."""
    event = json.loads(connection.recv(timeout=60))
    assert event["type"] == "error"
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=60)
    assert closed.value.rcvd
    return event["message"], closed.value.rcvd.code


def children(served: Served) -> list[psutil.Process]:
    """The processes of its sessions."""
    return psutil.Process(served.process.pid).children()


def test_the_events_are_those_of_the_command(
    served: Served, env: dict[str, str], pcm: bytes
) -> None:
    with live(served) as connection:
        events = said(connection, pcm)
        assert connection.close_code == 1000
    assert events == records(stream(env, *RAW, stdin=pcm).out)
    assert len(kept(events)) > 5
    until(lambda: not children(served))


@pytest.mark.slow
def test_real_speech_by_a_real_model(
    tmp_path: Path, speechkit: Any, english_whispers: dict[str, Path], pcm: bytes
) -> None:
    model = ("--model", english_whispers["faster-whisper"])
    command = speechkit("stream", *RAW, "--step", 5, *model, stdin=pcm)
    steps = {"SPEECHKIT_STREAM_PACE": "max", "SPEECHKIT_STREAM_STEP": "5"}
    with Served(tmp_path / "data", *model, environment=steps) as served, live(served) as connection:
        events = said(connection, pcm)
    assert events == records(command.out)
    text = " ".join(event["text"] for event in kept(events) if event["type"] == "final")
    assert "coffee" in text


@pytest.mark.parametrize(
    ("query", "sentence", "code"),
    [
        ("", "the sample rate of the audio in Hz is needed", 1008),
        ("rate=-1", "the sample rate of the audio in Hz is needed", 1008),
        ("rate=10", "rate 10: it has to be 1000 to 768000 Hz", 1011),
        (f"rate={RATE}&model=../x", "no model '../x'", 1008),
        (f"rate={RATE}&language=%00", r"language='\x00'", 1008),
    ],
)
def test_what_can_not_be(served: Served, query: str, sentence: str, code: int) -> None:
    with live(served, query) as connection:
        message, closed = refused(connection)
    assert sentence in message
    assert closed == code


def test_another_sites_page_gets_no_session(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        live(served, origin="http://example.org")  # type: ignore[arg-type]
    assert refusal.value.response.status_code == 403


def test_messages_that_are_no_audio(served: Served) -> None:
    with live(served) as connection:
        connection.send("stop")
        assert refused(connection) == (
            "a message holds at most 1048576 bytes of audio, or the text 'end'",
            1008,
        )


def test_sessions_are_few_and_end_with_their_client(served: Served) -> None:
    with live(served) as left, live(served) as lost:
        until(lambda: len(children(served)) == 2)
        with live(served) as third:
            message, code = refused(third)
            assert "2 live transcriptions are running" in message
            assert code == 1013
        left.close()
        lost.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: not children(served))
    with live(served):
        until(lambda: children(served))
    until(lambda: not children(served))


def test_what_is_buffered_is_bounded(served: Served) -> None:
    """A process that hears nothing makes its client wait; no other one."""
    with live(served, close_timeout=0.5) as connection:
        (process,) = until(lambda: children(served))
        process.suspend()
        sent = 0
        connection.socket.settimeout(1.0)
        with pytest.raises((ConnectionClosed, TimeoutError)):
            while sent < 64 << 20:
                connection.send(bytes(1 << 20))
                sent += 1 << 20
        assert served.client.get("health").json()["status"] == "ok"
    process.resume()
    until(lambda: not children(served))


def test_sessions_end_with_their_server(tmp_path: Path, env: dict[str, str]) -> None:
    """Also with one that is killed, and nobody else ends them."""
    for number, end in enumerate((signal.SIGTERM, signal.SIGKILL)):
        data = tmp_path / f"data{number}"
        with Served(data, "--engine", "loudness", environment=env) as served, live(served):
            (process,) = until(lambda served=served: children(served))
            served.process.send_signal(end)
            served.process.wait(20)
            process.wait(20)
