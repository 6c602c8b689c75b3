"""Jobs over HTTP: a real server, real speech, and clients who mean well or don't."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import soundfile
from httpx import Client, Response

from audiokit import EXAMPLES, cut_speech
from digitkit import Digit
from runkit import records, until
from serverkit import Served
from speechkit.engines.protocols import SAMPLE_RATE

UPLOADS = 50
FORMATS = ("srt", "vtt", "txt", "tsv", "ctm", "textgrid", "jsonl")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("serve") / "data"
    with Served(data, "--engine", "pocketsphinx") as server:
        yield server


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two short pieces, in which PocketSphinx hears "would you like it" and "tell me mr"."""
    folder = tmp_path_factory.mktemp("speech")
    pieces = []
    for name, start, end in (("coffee", 0.6, 1.5), ("story", 0.65, 1.4)):
        samples, rate = soundfile.read(EXAMPLES / "slt" / f"{name}.flac", dtype="int16")
        pieces.append(folder / f"{name}.flac")
        soundfile.write(pieces[-1], samples[int(start * rate) : int(end * rate)], rate)
    return pieces


@pytest.fixture(scope="module")
def job(server: Served, speech: list[Path]) -> dict[str, Any]:
    """A finished job of two files, and of a third that is no audio."""
    names = ["../talk one.flac", "évil.flac", "text.mp3"]
    files = list(zip(names, [*speech, Path(__file__)], strict=True))
    answer = post(server.client, files)
    assert answer.status_code == 201, answer.text
    return finished(server, answer.json()["id"])


def post(client: Client, files: Sequence[tuple[str, Path]], **fields: str) -> Response:
    parts = [("file", (name, path.read_bytes())) for name, path in files]
    return client.post("/api/jobs", files=parts, data=fields)


def finished(server: Served, id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = server.client.get(f"/api/jobs/{id}").json()
        return job if job["state"] in ("done", "failed", "cancelled") else None

    found: dict[str, Any] = until(ended, every=0.05)
    return found


def events(client: Client, id: str) -> list[tuple[str, dict[str, Any]]]:
    """Until the end of the job."""
    with client.stream("GET", f"/api/jobs/{id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line and not line.startswith(":")]
    names = [line.removeprefix("event: ") for line in lines[::2]]
    return list(zip(names, (json.loads(line[6:]) for line in lines[1::2]), strict=True))


def test_a_job_tells_of_each_of_its_files(server: Served, job: dict[str, Any]) -> None:
    """That its bytes are those of the command line, tests/faults/test_serve_kill.py sees."""
    assert (job["state"], job["origin"], job["engine"]) == ("done", "page", "pocketsphinx")
    assert [file["state"] for file in job["files"]] == ["done", "done", "failed"]
    assert [file["name"] for file in job["files"]] == ["talk one.flac", "évil.flac", "text.mp3"]
    assert job["files"][2]["error"] == "text.mp3: not audio that can be decoded"
    assert job["seconds_done"] == job["seconds"] == 1.65
    folder = server.data / "jobs" / job["id"]
    assert (folder / "asr.jsonl").exists() and not [*folder.glob("*.part")]
    assert "would you" not in server.err


def test_events_show_all_of_a_finished_job(server: Served, job: dict[str, Any]) -> None:
    seen = events(server.client, job["id"])
    assert [name for name, _ in seen] == ["job", "segments", "segments", "progress", "end"]
    assert seen[0][1] == seen[-1][1] == job
    assert (seen[1][1]["file"], seen[1][1]["text"]) == (1, "would you like it")
    assert {"start", "end", "text", "words"} <= seen[1][1]["segments"][0].keys()


def test_a_transcript_comes_in_every_format(server: Served, job: dict[str, Any]) -> None:
    place = f"/api/jobs/{job['id']}/files"
    record = server.client.get(f"{place}/1/transcript").json()
    assert record["corrections"] == []
    for form in FORMATS:
        answer = server.client.get(f"{place}/1/transcript.{form}")
        assert answer.status_code == 200, answer.text
        assert "would" in answer.text
        assert 'filename="talk one.' in answer.headers["content-disposition"]
    accent = server.client.get(f"{place}/2/transcript.srt").headers["content-disposition"]
    assert accent.endswith("filename*=UTF-8''%C3%A9vil.srt")
    assert server.client.get(f"{place}/3/transcript.srt").status_code == 409
    packed = server.client.get(f"/api/jobs/{job['id']}/export.zip", params={"format": "txt"})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == ["talk one.txt", "évil.txt", "failed/files.txt"]
        assert archive.read("talk one.txt") == b"would you like it\n"
        assert archive.read("failed/files.txt") == b"text.mp3\n"


def test_audio_is_played_from_anywhere(
    server: Served, job: dict[str, Any], speech: list[Path]
) -> None:
    place = f"/api/jobs/{job['id']}/files"
    whole = server.client.get(f"{place}/1/audio")
    assert whole.content == speech[0].read_bytes()
    assert whole.headers["content-type"] in ("audio/flac", "audio/x-flac")
    part = server.client.get(f"{place}/1/audio", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    page = post(server.client, [("page.html", speech[0])]).json()
    answer = server.client.get(f"/api/jobs/{page['id']}/files/1/audio")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.client.delete(f"/api/jobs/{page['id']}").status_code == 204
    assert not (server.data / "jobs" / page["id"]).exists()


def test_corrections_are_kept_and_exported(
    server: Served,
    job: dict[str, Any],
    speech: list[Path],
    speechkit: Any,
    tmp_path: Path,
) -> None:
    place = f"/api/jobs/{job['id']}/files/1"
    (heard,) = server.client.get(f"{place}/transcript").json()["segments"]
    text = "Would you like a"
    body = [{"segment": 0, "text": text}]
    assert server.client.put(f"{place}/corrections", json=body).json() == body
    assert server.client.get(f"{place}/transcript").json()["corrections"] == body
    assert text in server.client.get(f"{place}/transcript.srt").text
    ctm = server.client.get(f"{place}/transcript.ctm").text.splitlines()
    assert [line.split()[4] for line in ctm] == text.split()
    for wrong in (b"{", b"[{}]", json.dumps([{"segment": 9, "text": "x"}]).encode()):
        answer = server.client.put(f"{place}/corrections", content=wrong)
        assert (answer.status_code, answer.json()["error"]["message"][:12]) == (400, "corrections:")
    too_long = server.client.put(f"{place}/corrections", content=b" " * ((8 << 20) + 1))
    assert too_long.status_code == 413
    manifest = tmp_path / "corrected.jsonl"
    manifest.write_bytes(server.client.get(f"/api/jobs/{job['id']}/corrected.jsonl").content)
    first, second = records(manifest)
    assert (first["text"], first["pred_text"]) == (text, heard["text"])
    assert Path(first["audio_filepath"]).read_bytes() == speech[0].read_bytes()
    assert second["text"] == second["pred_text"]
    summary = tmp_path / "score.json"
    speechkit("score", manifest, "--summary", summary)
    score = json.loads(summary.read_text())
    assert (score["utterances"], score["words"]["substitutions"]) == (2, 1)


@pytest.mark.slow
def test_a_job_is_cancelled_goes_on_and_is_removed(server: Served, tmp_path: Path) -> None:
    pieces = sorted(cut_speech(tmp_path / "cuts", 5, longest=0.5, seed=5).glob("*/*.wav"))
    id = post(server.client, [(path.name, path) for path in pieces]).json()["id"]
    place = f"/api/jobs/{id}"
    until(lambda: server.client.get(place).json()["seconds_done"], every=0.02)
    assert server.client.post(f"{place}/again").status_code == 409
    assert server.client.post(f"{place}/cancel").json()["state"] == "cancelled"
    seen = events(server.client, id)
    assert seen[-1][0] == "end" and seen[-1][1]["state"] == "cancelled"
    assert 0 < seen[-1][1]["seconds_done"] < seen[-1][1]["seconds"]
    assert server.client.post(f"{place}/again").json()["state"] in ("queued", "running")
    job = finished(server, id)
    assert job["state"] == "done"
    assert job["seconds_done"] == job["seconds"]
    assert server.client.post(f"{place}/again").status_code == 409
    assert server.client.delete(place).status_code == 204
    assert server.client.get(place).status_code == 404


def test_what_is_wrong_is_refused_with_a_sentence(
    server: Served, job: dict[str, Any], speech: list[Path]
) -> None:
    client, id = server.client, job["id"]
    before = len(client.get("/api/jobs").json())
    hostile = ["/api/jobs/..%2f..%2fetc", "/api/jobs/" + "x" * 22, f"/api/jobs/{id}%00"]
    for path in [
        *(f"{one}{tail}" for one in hostile for tail in ("", "/events", "/export.zip")),
        f"/api/jobs/{id}/files/0/audio",
        f"/api/jobs/{id}/files/4/transcript",
        f"/api/jobs/{id}/files/..%2fjob.json/audio",
        f"/api/jobs/{id}/files/{'9' * 5000}/audio",
    ]:
        answer = client.get(path)
        assert (answer.status_code, path) == (404, path)
        assert answer.json()["error"]["message"]
    assert client.get(f"/api/jobs/{id}/slurm").status_code == 404
    assert client.get(f"/api/jobs/{id}/files/1/transcript.exe").status_code == 400
    assert client.get(f"/api/jobs/{id}/export.zip?format=..").status_code == 400
    assert client.put(f"/api/jobs/{id}/files/3/corrections", json=[]).status_code == 409
    for fields, status in [
        ({"engine": "none"}, 404),
        ({"model": "/etc/passwd"}, 404),
        ({"temprature": "0"}, 400),
        ({"translate": "maybe"}, 400),
        ({"prompt": "names"}, 400),
    ]:
        answer = post(client, [("a.flac", speech[0])], **fields)
        assert (answer.status_code, fields) == (status, fields)
    assert post(client, []).status_code == 400
    assert len(client.get("/api/jobs").json()) == before
    assert len([*(server.data / "jobs").iterdir()]) == before


def test_none_of_many_uploads_at_once_is_swapped(
    nemos: dict[str, Path], digits: list[Digit], tmp_path: Path
) -> None:
    """Spoken digits, each of a length of its own."""
    model = ["--engine", "nemo", "--model", nemos["ctc"]]
    spoken = digits[:: len(digits) // UPLOADS][:UPLOADS]

    def upload(number: int) -> tuple[str, float]:
        file = tmp_path / f"{number}.wav"
        soundfile.write(file, spoken[number].waveform, SAMPLE_RATE)
        job = post(server.client, [(file.name, file)]).json()
        assert job["files"][0]["name"] == file.name
        assert events(server.client, job["id"])[-1][1]["state"] == "done"
        place = f"/api/jobs/{job['id']}/files/1"
        assert server.client.get(f"{place}/audio").content == file.read_bytes()
        record = server.client.get(f"{place}/transcript").json()
        return record["pred_text"], record["duration"]

    with (
        Served(tmp_path / "data", *model) as server,
        ThreadPoolExecutor(UPLOADS) as clients,
    ):
        found = list(clients.map(upload, range(UPLOADS)))
    right = [text == digit.text for (text, _), digit in zip(found, spoken, strict=True)]
    assert sum(right) > 0.8 * UPLOADS  # the model is tiny, and trained anew on each machine
    lengths = [len(digit.waveform) / SAMPLE_RATE for digit in spoken]
    assert [seconds for _, seconds in found] == pytest.approx(lengths, abs=0.001)
