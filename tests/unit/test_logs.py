"""Messages in JSON, and their levels."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from speechkit.runtime import logs
from speechkit.runtime.logs import LogSettings

log = logging.getLogger("speechkit.runtime.pool")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = logs.settings()
    yield
    logs.configure(before)
    logging.captureWarnings(False)


def told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_record_is_an_object(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("json", {"": "info"}, {"stage": "vad", "worker": 3}))
    with logs.about(7, "a\nb"), logs.about(8, "c"):
        pass
    with logs.about(7, "a\nb"):
        log.info("%d windows\nat \x1b[31m once", 4, extra={"event": "halved", "windows": 4})
    logs.say("no utterance", "summary", exit_code=0)
    first, second = told(capfd)
    assert first.pop("time").endswith("Z")
    assert first.pop("pid") > 1
    assert first == {
        "level": "info",
        "logger": "speechkit.runtime.pool",
        "stage": "vad",
        "worker": 3,
        "utterance": {"index": 7, "name": "a\nb"},
        "event": "halved",
        "message": "4 windows\nat \x1b[31m once",
        "windows": 4,
    }
    assert (second["event"], second["exit_code"], "utterance" in second) == ("summary", 0, False)


def test_tracebacks_and_warnings_are_objects(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("json"))
    try:
        raise ValueError("\x1b")
    except ValueError:
        log.warning("it failed", exc_info=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("of a library", stacklevel=1)
    first, second = told(capfd)
    assert first["traceback"].startswith("Traceback")
    assert second["logger"] == "py.warnings"


def test_an_utterance_within_another(capfd: pytest.CaptureFixture[str]) -> None:
    """It is loaded while its thread computes it."""
    logs.configure(LogSettings("json"))
    with logs.about(1, "a"):
        with logs.about(1, "a"):
            pass
        log.warning("still")
    log.warning("no longer")
    first, second = told(capfd)
    assert first["utterance"]["name"] == "a"
    assert "utterance" not in second


def test_levels_of_modules(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("json", logs.parse_levels("error, runtime.pool=debug")))
    log.debug("pool")
    logging.getLogger("speechkit.runtime.runner").warning("runner")
    logging.getLogger("a.library").info("library")
    assert [one["message"] for one in told(capfd)] == ["pool"]
    logs.configure(LogSettings("json", logs.parse_levels("info")))
    log.debug("pool")
    assert told(capfd) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loud", "'loud' is none of"),
        ("info,runtime.pool=loud", "'loud' is none of"),
        ("runtime.pol=debug", "no module 'runtime.pol'"),
        ("../cli=debug", "no module"),
        ("=debug", "no module"),
    ],
)
def test_wrong_levels(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        logs.parse_levels(text)


def test_times() -> None:
    assert logs.iso_time(0.9996) == "1970-01-01T00:00:01.000Z"
    assert logs.iso_time(1_767_225_600.25) == "2026-01-01T00:00:00.250Z"


@pytest.mark.parametrize("form", logs.FORMATS)
def test_a_stderr_that_takes_nothing(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "ab", buffering=0) as full:
        monkeypatch.setattr(logs, "STDERR", full.fileno())
        monkeypatch.setattr(logs._Process, "settings", LogSettings(form))
        logs.say("a message")
