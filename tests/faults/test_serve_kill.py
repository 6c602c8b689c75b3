"""``kill -9`` of the server at any moment: no job is lost, and none shows it."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from faultkit import run

from audiokit import cut_speech
from runkit import until
from serverkit import Served
from sphinxkit import QUICK

KILLS = 10


def upload(url: str, pieces: list[Path], accepted: list[str]) -> None:
    """A client, from which the server may be taken at any moment."""
    files = [("file", (path.name, path.read_bytes())) for path in pieces]
    try:
        answer = httpx.post(f"{url}api/jobs", files=files, timeout=60)
    except httpx.TransportError:
        return
    assert answer.status_code == 201, answer.text
    accepted.append(answer.json()["id"])


def test_no_kill_of_the_server_loses_a_job(tmp_path: Path, seed: int) -> None:
    """Each kill comes while an upload or a start is under way, or while results are written."""
    rng = random.Random(seed)
    pieces = sorted(cut_speech(tmp_path / "cuts", 4, longest=1.0, seed=4).glob("*/*.wav"))
    data = tmp_path / "data"
    accepted: list[str] = []
    halfway = 0
    for kill in range(KILLS):
        with Served(data, *QUICK) as server:
            before = results(data)
            client = Thread(target=upload, args=(server.url, pieces, accepted))
            client.start()
            if kill % 2:
                until(partial(has_more, data, before), every=0.005)
            else:
                client.join(rng.uniform(0.0, 0.2))
            server.kill()
            client.join()
            halfway += any(data.glob("jobs/*/*.part"))
    assert len(accepted) >= KILLS / 2
    assert halfway
    with Served(data, *QUICK) as server:
        jobs = until(partial(all_done, server), every=0.1)
        assert "Traceback" not in server.err
    ids = {job["id"] for job in jobs}
    assert ids >= set(accepted)
    assert ids == {path.name for path in (data / "jobs").iterdir()}
    first = data / "jobs" / accepted[0]
    out = tmp_path / "alone.jsonl"
    assert run(tmp_path, "asr", first / "input.jsonl", *QUICK, "--words", "-o", out).code == 0
    for id in ids:
        found = (data / "jobs" / id / "asr.jsonl").read_text()
        assert found.replace(id, accepted[0]) == out.read_text()


def results(data: Path) -> int:
    """The lines in journals and outputs."""
    files = [*data.glob("jobs/*/asr.jsonl.part"), *data.glob("jobs/*/asr.jsonl")]
    return sum(path.read_bytes().count(b"\n") for path in files if path.exists())


def has_more(data: Path, before: int) -> bool:
    return results(data) >= before + 2  # a header, or an output in the place of a journal, is one


def all_done(server: Served) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = server.client.get("/api/jobs").json()
    return jobs if {job["state"] for job in jobs} == {"done"} else []
