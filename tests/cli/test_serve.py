"""The life of a server: its start, what it tells of itself, and its end."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from audiokit import repeated_story
from runkit import until
from serverkit import Served
from speechkit.commands.serve import require_packages
from speechkit.errors import EngineMissing

ENGINE = ("--engine", "pocketsphinx")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose model is never loaded."""
    with Served(tmp_path_factory.mktemp("served") / "data", *ENGINE) as server:
        yield server


def test_it_tells_what_it_has(served: Served) -> None:
    health = served.client.get("health").json()
    assert (health["status"], health["models"]) == ("ok", [])
    assert health["queue"] == {"queued": 0, "running": 0}
    settings = served.client.get("api/settings").json()
    assert (settings["engine"], settings["model"]) == ("pocketsphinx", "pocketsphinx")
    assert {"srt", "vtt", "txt"} < {*settings["formats"]}
    assert settings["languages"]["de"] == "german"
    models = {model["id"]: model for model in served.client.get("api/models").json()}
    assert models["pocketsphinx"] == {
        "id": "pocketsphinx",
        "engine": "pocketsphinx",
        "model": None,
        "state": "installed",
        "bytes": None,
    }
    small = models["faster-whisper/small"]
    assert (small["state"], small["bytes"] > 1e8) == ("to_fetch", True)


def test_metrics_are_as_prometheus_reads_them(served: Served) -> None:
    answer = served.client.get("metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    explained = set()
    for line in answer.text.splitlines():
        if comment := re.fullmatch(r"# (?:HELP|TYPE) (speechkit_\w+) .+", line):
            explained.add(comment[1])
        else:
            sample = re.fullmatch(r'(\w+)\{(?:\w+="[^"]*",?)*\} \d+(?:\.\d+)?', line)
            assert sample, line
            assert sample[1] in explained
    assert "speechkit_audio_seconds_total" in explained


def test_an_error_is_a_sentence_in_json(served: Served) -> None:
    for answer, status in (
        (served.client.get("nothing"), 404),
        (served.client.get("v1/audio/transcriptions"), 405),
        (served.client.get("v1/models/../../etc/passwd"), 404),
        (served.client.post("v1/audio/transcriptions", content=b"x"), 400),
    ):
        assert answer.status_code == status
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert len(error["message"]) > 20


def test_the_data_and_the_port_are_of_one_server(
    served: Served, speechkit: Callable[..., Any], tmp_path: Path
) -> None:
    done = speechkit("serve", *ENGINE, "--port", 0, "--data", served.data, code=2)
    assert done.err == f"speechkit: --data {served.data}: another server is using it\n"
    port = served.url.split(":")[-1].strip("/")
    done = speechkit("serve", *ENGINE, "--port", port, "--data", tmp_path / "data", code=2)
    assert done.err.startswith(f"speechkit: --port {port}: in use by another program;")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--host", "0.0.0.0"), 2, "--host 0.0.0.0: other machines can reach it"),
        (("--host", "nowhere.invalid"), 2, "--host nowhere.invalid: no address of this machine"),
        (("--host", "192.0.2.1", "--token", "x" * 16), 2, "--host 192.0.2.1: no address"),
        (("--data", __file__), 2, f"--data {__file__}: is no folder"),
        (("--token", "short"), 2, "--token: at least 16 letters"),
        (("--token", "of several words and an ö"), 2, "--token: at least 16 letters"),
        (("--engine", "faster-whisper", "--model", "/nowhere"), 1, "model /nowhere: no such"),
        (("--engine", "whispr"), 2, "no asr engine 'whispr'"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    speechkit: Callable[..., Any],
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    folder = ("--port", 0, "--data", tmp_path / "data")
    done = speechkit("serve", *ENGINE, *folder, *arguments, code=code)
    assert done.err.startswith(f"speechkit: {sentence}")
    assert done.err.count("\n") == 1
    assert done.out == b""
    assert not (tmp_path / "data").exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    with pytest.raises(EngineMissing, match=r"serve needs python-multipart: run `pip"):
        require_packages()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path: Path, number: int) -> None:
    with Served(tmp_path / "data", *ENGINE) as server:
        host, port = server.url.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port))) as upload:  # which never ends
            upload.sendall(
                b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n"
            )
            with ThreadPoolExecutor(1) as reader:  # the reset that follows may overtake the answer
                answer = reader.submit(upload.recv, 1000)
                ended = server.stop(number)
                assert b" 503 " in answer.result(10)
    assert ended.code == 0
    assert ended.out == ""
    assert ended.err == f"{signal.Signals(number).name}: stopping\n"
    assert not list((tmp_path / "data" / "jobs").iterdir())


def test_whoever_waits_at_the_end_is_told_and_the_job_goes_on(tmp_path: Path) -> None:
    long = repeated_story(tmp_path / "long.wav", 15)
    with Served(tmp_path / "data", *ENGINE) as server, ThreadPoolExecutor(2) as threads:
        audio = long.read_bytes()
        post = partial(server.client.post, "v1/audio/transcriptions", files={"file": audio})
        answers = [threads.submit(post, data={"stream": value}) for value in ("false", "true")]
        until(lambda: server.client.get("health").json()["queue"]["running"] == 2)
        ended = server.stop()
        for answer in answers:
            assert answer.result().status_code == 503
            assert answer.result().headers["retry-after"] == "5"
            assert answer.result().json()["error"]["message"] == "the server is stopping"
    assert ended.code == 0
    assert ended.err == "SIGTERM: stopping\njobs that go on at the next start: 2\n"
    with Served(tmp_path / "data", *ENGINE) as server:
        assert sum(server.client.get("health").json()["queue"].values()) == 2
