"""A real server in a process of its own, and a client of it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

import forkkit

STARTED = 60.0  # seconds, at most, until it listens
STOPPED = 10.0  # seconds from a signal to the end


@dataclass(frozen=True, slots=True)
class Ended:
    """``out``: what stdout had beside the address."""

    code: int
    out: str
    err: str


class Served:
    """``speechkit serve`` on a free port, in a fork of the tests' server, until the block ends.

    ``data``: its folder; ``arguments`` beside --port and --data. ``url`` ends in a slash;
    ``client`` asks it. ``environment``: further variables.
    """

    def __init__(
        self, data: Path, *arguments: object, environment: Mapping[str, str] | None = None
    ) -> None:
        self.data = data
        self._err = data.with_name(f"{data.name}.stderr")
        words = ["serve", "--port", "0", "--data", str(data), *map(str, arguments)]
        workers = forkkit.server(*forkkit.heavy_engine(["asr", *words]))
        out, their_out = os.pipe()
        with open(self._err, "ab") as err, open(os.devnull, "rb") as nothing:
            self.process = forkkit.Fork(
                forkkit.server(),
                [workers, *words],
                {**os.environ, **(environment or {})},
                data.parent,
                {0: nothing.fileno(), 1: their_out, 2: err.fileno()},
            )
        os.close(their_out)
        self._out = open(out, "rb")  # noqa: SIM115
        assert select.select([self._out], [], [], STARTED)[0], "it doesn't listen"
        self.url = self._out.readline().decode().strip()
        assert self.url, self.err
        self.client = httpx.Client(base_url=self.url, timeout=120.0)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def err(self) -> str:
        """Its messages so far."""
        return self._err.read_text()

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        """Ends it by a signal, as a service manager does."""
        self.process.send_signal(number)
        code = self.process.wait(STOPPED)
        assert "Traceback" not in self.err, self.err
        return Ended(code, self._out.read().decode(), self.err)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOPPED)
        self.client.close()
        self._out.close()
