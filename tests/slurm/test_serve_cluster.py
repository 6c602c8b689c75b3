"""A job of the server on a real SLURM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clusterkit import LIGHT, Cluster, until

from serverkit import Served


def post(server: Served, speech: Path, count: int) -> str:
    """Submit a job, and hand it to the cluster."""
    files = [("file", (path.name, path.read_bytes())) for path in sorted(speech.rglob("*.wav"))]
    id: str = server.client.post("/api/jobs", files=files[:count]).json()["id"]
    job = server.client.post(f"/api/jobs/{id}/slurm").json()
    assert (job["state"], job["on_cluster"]) == ("running", True)
    return id


def test_a_job_is_handed_to_the_cluster(
    cluster: Cluster, speech: Path, speechkit: Any, tmp_path: Path
) -> None:
    """It goes on without the server, which sees the end at its next start."""
    data = tmp_path / "data"
    with Served(data, *LIGHT[1:], environment=cluster.environment) as server:
        assert server.client.get("/api/settings").json()["slurm"] is True
        id = post(server, speech, 3)
        status = server.client.get(f"/api/jobs/{id}/slurm").json()
        assert (sum(status["splits"].values()), status["files"]) == (3, 3)
    with Served(data, *LIGHT[1:], environment=cluster.environment) as server:
        place = f"/api/jobs/{id}"
        until(lambda: server.client.get(place).json()["state"] == "done")
        job = server.client.get(place).json()
        assert job["seconds_done"] == job["seconds"]
        until(lambda: server.client.get(f"{place}/slurm").json()["merged"])
        assert server.client.post(f"{place}/slurm").status_code == 409
    folder = data / "jobs" / id
    out = tmp_path / "alone.jsonl"
    speechkit("asr", folder / "input.jsonl", *LIGHT[1:], "--words", "-o", out)
    assert (folder / "asr.jsonl").read_bytes() == out.read_bytes()


def test_a_job_is_cancelled_on_the_cluster_and_goes_on_here(
    cluster: Cluster, speech: Path, tmp_path: Path
) -> None:
    with Served(tmp_path / "data", *LIGHT[1:], environment=cluster.environment) as server:
        id = post(server, speech, 2)
        assert server.client.post(f"/api/jobs/{id}/cancel").json()["state"] == "cancelled"
        until(lambda: not cluster.ask("squeue", "--noheader"))
        server.client.post(f"/api/jobs/{id}/again")
        until(lambda: server.client.get(f"/api/jobs/{id}").json()["state"] == "done")


def test_without_a_cluster_it_says_so(speech: Path, tmp_path: Path) -> None:
    with Served(tmp_path / "data", *LIGHT[1:], environment={"PATH": "/nowhere"}) as server:
        assert server.client.get("/api/settings").json()["slurm"] is False
        file = next(speech.rglob("*.wav"))
        id = server.client.post("/api/jobs", files=[("file", file.read_bytes())]).json()["id"]
        refused = server.client.post(f"/api/jobs/{id}/slurm")
        assert (refused.status_code, "no sbatch" in refused.text) == (400, True)
        assert server.client.get(f"/api/jobs/{id}/slurm").status_code == 404
