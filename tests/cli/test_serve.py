"""The life of a server: its start, what it tells of itself, and its end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Speechkit
from serverkit import Served

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
