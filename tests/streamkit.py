"""Streams in processes of their own, by an engine that takes no time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forkkit
from livekit import require_tiled
from speechkit.serving.stream.events import from_json

ENGINE = ("--engine", "loudness")


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    out: bytes
    err: str


def stream(
    env: Mapping[str, str], *arguments: object, code: int = 0, stdin: bytes = b""
) -> Finished:
    """``speechkit stream`` to its end, by the engine ``loudness``; expects its exit code."""
    words = ["stream", *map(str, arguments), *ENGINE]
    done = forkkit.run(words, env={**os.environ, **env}, stdin=stdin, timeout=120)
    assert done.returncode == code, done.stderr.decode()
    return _judged(Finished(done.returncode, done.stdout, done.stderr.decode()))


def _judged(done: Finished) -> Finished:
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    return done


class Live:
    """``speechkit stream`` in the background, whose stdin and stdout are pipes; stderr is a file.

    A fork of the tests' server: quicker than a program of its own.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], *arguments: object) -> None:
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        self._err = folder / "stderr"
        with open(self._err, "wb") as err:
            self.process = forkkit.Fork(
                forkkit.server(),
                [forkkit.server(), "stream", *map(str, arguments), *ENGINE],
                {**os.environ, **env},
                folder,
                {0: theirs_in, 1: theirs_out, 2: err.fileno()},
            )
        os.close(theirs_in)
        os.close(theirs_out)
        self.stdin = open(ours_in, "wb", buffering=0)  # noqa: SIM115
        self.stdout = open(ours_out, "rb")  # noqa: SIM115

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(60)
        self.stdin.close()
        self.stdout.close()

    def end(self) -> Finished:
        """With the rest of its stdout."""
        out = b"" if self.stdout.closed else self.stdout.read()
        return _judged(Finished(self.process.wait(60), out, self._err.read_text()))


def kept(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that are final, which tile the audio."""
    final = [event for event in events if event["type"] != "partial"]
    require_tiled(map(from_json, final))
    return final
