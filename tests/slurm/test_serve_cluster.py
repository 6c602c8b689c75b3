"""A job of the server on a real SLURM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clusterkit import Cluster, until

from runkit import records
from serverkit import Served

ENGINE = ("--engine", "pocketsphinx")
SERVER = (*ENGINE, "--sbatch=--cpus-per-task=1")


def handed_over(server: Served, speech: list[Path]) -> str:
    """The id of a job on the cluster."""
    files = [("file", (path.name, path.read_bytes())) for path in speech]
    id: str = server.client.post("/api/jobs", files=files).json()["id"]
    answer = server.client.post(f"/api/jobs/{id}/slurm")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["on_cluster"]) == ("running", True)
    return id


def test_a_job_is_handed_to_the_cluster(
    cluster: Cluster, manifest: Path, speechkit: Any, tmp_path: Path
) -> None:
    """It goes on without the server, which sees the end at its next start. Another is cancelled."""
    data = tmp_path / "data"
    speech = [manifest.parent / line["audio_filepath"] for line in records(manifest)[:1]]
    expected = records(speechkit("asr", *speech, *ENGINE).out)
    with Served(data, *SERVER, environment=cluster.environment) as server:
        assert server.client.get("/api/settings").json()["slurm"] is True
        id = handed_over(server, speech)
        status = server.client.get(f"/api/jobs/{id}/slurm").json()
        assert (sum(status["splits"].values()), status["files"]) == (1, 1)
        assert " of 1 files done; splits: 1 " in status["text"]
    later = "--sbatch=--begin=now+300"
    with Served(data, *SERVER, later, environment=cluster.environment) as server:
        place = f"/api/jobs/{id}"
        until(lambda: server.client.get(place).json()["state"] == "done")
        job = server.client.get(place).json()
        assert job["seconds_done"] == job["seconds"]
        until(lambda: server.client.get(f"{place}/slurm").json()["merged"])
        assert server.client.post(f"{place}/slurm").status_code == 409
        other = handed_over(server, speech)
        assert cluster.ask("squeue", "--noheader")
        assert server.client.post(f"/api/jobs/{other}/cancel").json()["state"] == "cancelled"
        until(lambda: not cluster.ask("squeue", "--noheader"))
    found = records(data / "jobs" / id / "asr.jsonl")
    assert [one["pred_text"] for one in found] == [one["pred_text"] for one in expected]
    assert all(segment["words"] for one in found for segment in one["segments"])
