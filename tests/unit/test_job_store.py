"""The jobs of a server: what is on disk, what is said of it, and what a restart makes of it."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from audiokit import EXAMPLES, write_silence
from runkit import until
from speechkit.errors import Drained, EngineMissing, OutputFailed, UsageError
from speechkit.io.journal import Journal
from speechkit.io.run_identity import RunIdentity
from speechkit.records import Division
from speechkit.runtime import divisions
from speechkit.runtime.progress import Listener
from speechkit.runtime.worker_plan import Hardware
from speechkit.serving.web import corrections, transcripts
from speechkit.serving.web.jobs import jobs as jobs_module
from speechkit.serving.web.jobs.events import JobEvent
from speechkit.serving.web.jobs.job import Job
from speechkit.serving.web.jobs.jobs import Jobs
from speechkit.serving.web.jobs.request import JobRequest
from speechkit.serving.web.jobs.run_queue import RunQueue
from speechkit.serving.web.jobs.store import JobFolder
from speechkit.serving.web.request_errors import Conflict, NotFound, TooManyRequests
from speechkit.serving.web.settings import ServerSettings
from speechkit.serving.web.workers.warm_workers import LaneName

SPEECH = EXAMPLES / "slt" / "coffee.flac"  # 4.8 s
REQUEST = JobRequest(engine="faster-whisper")
HOSTILE = ["../../etc/passwd", "a\r\nX-Evil: 1.wav", "x" * 1000, "half\ud800.mp3", "nul\0.ogg", "."]


def record(number: int, text: str = "", **more: Any) -> dict[str, Any]:
    """A line of asr.jsonl: a segment, with a word a second."""
    words = [
        {"word": word, "start": float(at), "end": at + 0.9, "confidence": 0.9}
        for at, word in enumerate(text.split())
    ]
    segment = {"start": 0.0, "end": 9.0, "text": text, "words": words}
    line = {"audio_filepath": f"/d/audio/{number:04}", "id": f"{number:04}", "duration": 9.0}
    return {**line, "pred_text": text, "segments": [segment] if text else [], **more}


def failure(number: int) -> dict[str, Any]:
    error = {"type": "AudioUnreadable", "message": f"/d/audio/{number:04}: not audio"}
    return record(number, error=error)


class Runs:
    """A `Run` that ends when the test lets it; ``begun``: of each, the job, the lane and whether it
    is a retry; ``stopped``: how many were. ``write``: writes the results."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, LaneName, bool]] = []
        self.stopped = 0
        self.go = threading.Event()
        self.error: Exception | None = None
        self.write: Callable[[JobFolder], object] = lambda folder: write_output(
            folder, [record(1, "hello world")]
        )

    def __call__(
        self,
        request: JobRequest,
        folder: JobFolder,
        lane: LaneName,
        *,
        retry: bool,
        progress: Listener,
        cancel: threading.Event,
    ) -> None:
        self.begun.append((folder.path.name, lane, retry))
        while not self.go.wait(0.01):
            if cancel.is_set():
                self.stopped += 1
                raise Drained("cancelled")
        if self.error:
            raise self.error
        self.write(folder)


def write_output(folder: JobFolder, records: Sequence[dict[str, Any]]) -> None:
    new = folder.output.with_suffix(".new")
    new.write_text("".join(json.dumps(line) + "\n" for line in records))
    new.rename(folder.output)


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    hardware = Hardware(device="cpu")
    return ServerSettings(data=tmp_path, engine="pocketsphinx", model=None, hardware=hardware)


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def jobs(settings: ServerSettings, runs: Runs) -> Iterator[Jobs]:
    with closing(Jobs(settings, runs)) as jobs:
        yield jobs


def submit(
    jobs: Jobs, *audio: Path, names: Sequence[str] = (), client: str = "me", request=REQUEST
) -> Job:
    files = audio or (SPEECH,)
    with jobs.new() as new:
        for file, name in zip(files, names or [file.name for file in files], strict=True):
            path = new.path_for_upload()
            path.write_bytes(file.read_bytes() if file.stat().st_size < 1 << 20 else b"")
            if file.stat().st_size >= 1 << 20:
                path.unlink()
                path.hardlink_to(file)
            new.add(path, name)
        return jobs.submit(new, request, client)


def ended(jobs: Jobs, id: str) -> Job:
    return asyncio.run(jobs.finished(id))


def state(jobs: Jobs, id: str, wanted: str) -> None:
    until(lambda: jobs.get(id).state == wanted, 20, f"{jobs.get(id).state}, not {wanted}")


def test_a_job_is_on_disk_under_names_of_our_own(jobs: Jobs, settings: ServerSettings) -> None:
    job = submit(jobs, *[SPEECH] * len(HOSTILE), names=HOSTILE)
    assert [file.name for file in job.files] == HOSTILE
    folder = settings.data / "jobs" / job.id
    numbers = [f"{number:04}" for number in range(1, len(HOSTILE) + 1)]
    assert sorted(path.name for path in folder.iterdir()) == ["audio", "input.jsonl", "job.json"]
    assert sorted(path.name for path in (folder / "audio").iterdir()) == numbers
    lines = [json.loads(line) for line in (folder / "input.jsonl").read_text().splitlines()]
    assert lines == [{"audio_filepath": f"audio/{id}", "id": id} for id in numbers]
    with closing(Jobs(settings, Runs())) as again:
        assert [file.name for file in again.get(job.id).files] == HOSTILE
    assert json.loads(json.dumps(job.to_json()))["files"][3]["name"] == "half\ud800.mp3"


def test_an_upload_is_on_disk_before_it_is_a_job(
    jobs: Jobs, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync, root = os.fsync, settings.data

    def spy(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        there = bool(list(root.glob("jobs/*/job.json")))
        synced.append(f"{path.relative_to(root)}{' after' if there else ''}")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    id = submit(jobs, SPEECH, SPEECH).id
    before = [name for name in synced if not name.endswith(" after")]
    folder = f"jobs/{id}"
    assert {f"{folder}/audio/0001", f"{folder}/audio/0002", f"{folder}/audio", folder, "jobs"} <= {
        *before
    }
    assert before[-1].startswith(f"{folder}/.job.json")
    assert f"{folder} after" in synced


def test_names_come_back_as_names_that_harm_nobody() -> None:
    names = [transcripts.file_name(name) for name in HOSTILE]
    assert names[:2] == ["passwd", "a X-Evil_ 1.wav"]
    assert names[3:] == ["half\ufffd.mp3", "nul .ogg", "audio"]
    assert len(names[2]) <= 200
    for name in names:
        header = transcripts.disposition("attachment", name)
        assert header.isascii() and header.isprintable()
        assert "/" not in header
    assert transcripts.disposition("inline", 'a";b ü') == (
        "inline; filename=\"a__b _\"; filename*=UTF-8''a%22%3Bb%20%C3%BC"
    )
    assert transcripts.distinct(["talk", "Talk", "talk"], ".srt") == [
        "talk.srt",
        "Talk (2).srt",
        "talk (3).srt",
    ]


def test_an_upload_that_is_given_up_leaves_nothing(jobs: Jobs, settings: ServerSettings) -> None:
    with pytest.raises(ArithmeticError), jobs.new() as new:
        new.path_for_upload().write_bytes(b"half")
        raise ArithmeticError
    with pytest.raises(UsageError, match="no file came"), jobs.new() as new:
        jobs.submit(new, REQUEST, "me")
    assert list((settings.data / "jobs").iterdir()) == []
    assert jobs.all() == []


def test_what_a_killed_upload_has_left_goes_at_the_next_start(settings: ServerSettings) -> None:
    with closing(Jobs(settings, Runs())) as jobs:
        job = submit(jobs)
        upload = jobs.new()
        left = upload.__enter__()  # as a kill leaves it
        left.path_for_upload().write_bytes(b"half")
    foreign = settings.data / "jobs" / "not ours"
    foreign.mkdir()
    with closing(Jobs(settings, Runs())) as jobs:
        assert [one.id for one in jobs.all()] == [job.id]
    assert not left.folder.path.exists()
    assert foreign.exists()


def test_the_request_is_refused_before_anything_is_kept(jobs: Jobs) -> None:
    sphinx = JobRequest(engine="pocketsphinx")
    for request, sentence in [
        (replace(sphinx, prompt="names"), "prompt: the engine pocketsphinx takes none"),
        (replace(sphinx, translate=True), "translate: the engine"),
        (replace(REQUEST, temperature=3.0), "temperature: a number from 0 to 2"),
        (replace(REQUEST, engine="none"), "no asr engine 'none'"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            submit(jobs, request=request)
    asked = replace(REQUEST, language="de", prompt="Ö", temperature=0.4, translate=True)
    assert asked.options().engine_options == {
        "language": "de",
        "initial_prompt": "Ö",
        "temperature": (0.4,),
        "task": "translate",
    }
    assert replace(REQUEST, temperature=0.0).options().engine_options == {}


def test_short_jobs_never_wait_for_long_ones(jobs: Jobs, runs: Runs, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    write_silence(long, 40, 16_000, 1)
    text = tmp_path / "text.mp3"
    text.write_text("no audio")
    bulk = [submit(jobs, long, client=f"{number}").id for number in range(5)]
    until(lambda: len(runs.begun) == 4)
    quick = [submit(jobs).id, submit(jobs, text).id]
    until(lambda: len(runs.begun) == 6)
    lanes = {id: lane for id, lane, _ in runs.begun}
    assert lanes == {**dict.fromkeys(bulk[:4], "bulk"), **dict.fromkeys(quick, "quick")}
    assert jobs.get(bulk[4]).state == "queued"
    assert jobs.get(bulk[0]).seconds == 40.0
    jobs.cancel(bulk[1])
    until(lambda: len(runs.begun) == 7)
    assert runs.begun[-1][0] == bulk[4]


def test_a_queue_has_an_end(settings: ServerSettings, runs: Runs) -> None:
    with closing(Jobs(replace(settings, max_queue=3, per_client=2), runs)) as jobs:
        first = submit(jobs)
        submit(jobs)
        with pytest.raises(TooManyRequests, match="2 of your jobs"):
            jobs.require_room("me")
        submit(jobs, client="you")
        with pytest.raises(TooManyRequests, match="3 jobs are waiting or running") as refused:
            submit(jobs, client="them")
        assert refused.value.retry_after
        jobs.cancel(first.id)
        submit(jobs)
        assert len(list((settings.data / "jobs").iterdir())) == 4


def test_a_job_that_is_cancelled_goes_on_when_asked(jobs: Jobs, runs: Runs) -> None:
    job = submit(jobs)
    state(jobs, job.id, "running")
    with pytest.raises(Conflict, match="not ended"):
        jobs.again(job.id)
    assert jobs.cancel(job.id).state == "cancelled"
    assert ended(jobs, job.id).state == "cancelled"
    until(lambda: runs.stopped)
    runs.go.set()
    jobs.again(job.id)
    assert ended(jobs, job.id).state == "done"
    with pytest.raises(Conflict, match="no file of this job has failed"):
        jobs.again(job.id)
    assert jobs.cancel(job.id).state == "done"
    assert [retry for _, _, retry in runs.begun] == [False, False]


def test_a_job_that_has_ended_holds_no_file_open(jobs: Jobs, runs: Runs) -> None:
    job = submit(jobs, SPEECH, SPEECH, names=["a.wav", "b.wav"])
    state(jobs, job.id, "running")
    part = jobs.kept(job.id).folder.journal

    def done(index: int) -> int:
        body = b"%d\t%s" % (index, json.dumps(record(index + 1)).encode())
        with part.open("ab") as journal:
            journal.write(b"%08x\t%s\n" % (zlib.crc32(body), body))
        return sum(file.state == "done" for file in jobs.get(job.id).files)

    assert done(0) == 1
    assert str(part) in {file.path for file in psutil.Process().open_files()}
    jobs.cancel(job.id)
    assert done(1) == 2
    assert str(part) not in {file.path for file in psutil.Process().open_files()}


def test_a_run_that_raises_costs_no_place_in_the_queue() -> None:
    queue, next_one = RunQueue(1), threading.Event()
    for run in ([].pop, next_one.set):
        queue.put(run)
    assert next_one.wait(5)


def test_failed_files_are_transcribed_again(
    jobs: Jobs, runs: Runs, settings: ServerSettings
) -> None:
    runs.write = lambda folder: write_output(folder, [record(1, "hello"), failure(2)])
    runs.go.set()
    job = ended(jobs, submit(jobs, SPEECH, SPEECH, names=["a.wav", "b.wav"]).id)
    assert [file.state for file in job.files] == ["done", "failed"]
    assert (job.files[1].error, job.files[1].error_type) == ("b.wav: not audio", "AudioUnreadable")
    runs.go.clear()
    runs.write = lambda folder: write_output(folder, [record(1, "hello"), record(2, "you")])
    jobs.again(job.id)
    assert [file.state for file in jobs.get(job.id).files] == ["done", "waiting"]
    until(lambda: runs.begun[-1][2])
    jobs.close()  # in the middle of it
    runs.go.set()
    with closing(Jobs(settings, runs)) as later:
        until(lambda: later.get(job.id).state == "done")
        assert [file.state for file in later.get(job.id).files] == ["done", "done"]
        assert runs.begun[-1] == (job.id, "quick", True)
        until(lambda: later.kept(job.id).description.state == "queued")  # no longer retrying


def test_a_job_that_fails_says_why(jobs: Jobs, runs: Runs, settings: ServerSettings) -> None:
    runs.go.set()
    for error, message in [
        (EngineMissing("model x: not here"), "model x: not here"),
        (UsageError("--language zz: none"), "language zz: none"),
        (OutputFailed("/data/jobs: full"), "the server can't write its data; its log has more"),
        (ArithmeticError("secret"), "internal error; the server's log has more"),
    ]:
        runs.error = error
        job = ended(jobs, submit(jobs).id)
        assert (job.state, job.error, job.error_type) == ("failed", message, type(error).__name__)
        with closing(Jobs(settings, Runs())) as later:
            assert later.get(job.id).error == message
    runs.error = None
    jobs.again(job.id)
    assert ended(jobs, job.id).error is None
    assert jobs.totals().by_state == {"failed": 3, "done": 1}


def test_a_removed_job_is_gone_with_all_its_files(
    jobs: Jobs, runs: Runs, settings: ServerSettings
) -> None:
    running, queued = submit(jobs), submit(jobs)
    state(jobs, running.id, "running")
    for job in (running, queued):
        jobs.delete(job.id)
        assert not (settings.data / "jobs" / job.id).exists()
        for ask in (jobs.get, jobs.cancel, jobs.delete, jobs.again, jobs.records):
            with pytest.raises(NotFound, match="no such job"):
                ask(job.id)
    for hostile in ("..", "../../etc", "", "\0", "x" * 22):
        with pytest.raises(NotFound):
            jobs.get(hostile)


def test_old_jobs_are_removed(
    settings: ServerSettings, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "KEEPING_SECONDS", 0.02)
    with closing(Jobs(replace(settings, keep=0.5), runs)) as jobs:
        job = submit(jobs)
        state(jobs, job.id, "running")
        threading.Event().wait(0.7)
        assert jobs.get(job.id).state == "running"
        runs.go.set()
        state(jobs, job.id, "done")
        until(lambda: not (settings.data / "jobs" / job.id).exists(), 20)
        assert jobs.all() == []


def test_what_has_ended_is_told_by_the_files(settings: ServerSettings, runs: Runs) -> None:
    """As a kill leaves them: at whatever moment, what has no end is run."""
    with closing(Jobs(settings, runs)) as jobs:
        ids = [submit(jobs).id for _ in range(4)]
        jobs.cancel(ids[1])
        folders = {id: jobs.kept(id).folder for id in ids}
    write_output(folders[ids[2]], [record(1, "published, and then killed")])
    folders[ids[3]].output.write_text("{\n")  # by a disk that fails
    broken = settings.data / "jobs" / ("b" * 22)
    broken.mkdir()
    (broken / "job.json").write_text("{")
    later = Runs()
    with closing(Jobs(settings, later)) as jobs:
        until(lambda: later.begun)
        assert [jobs.get(id).state for id in ids[:3]] == ["running", "cancelled", "done"]
        assert [id for id, _, _ in later.begun] == [ids[0]]
        assert len(jobs.all()) == 3
        assert jobs.record(ids[2], 1)["pred_text"] == "published, and then killed"
        with pytest.raises(NotFound, match="no transcript of a file 1 yet"):
            jobs.record(ids[0], 1)
    assert (broken / "job.json").exists()


def test_events_are_what_comes_into_the_journal(jobs: Jobs, runs: Runs) -> None:
    """A job of a short file and of a long one, whose parts come in any order."""
    job = submit(jobs, SPEECH, SPEECH)
    state(jobs, job.id, "running")
    kept = jobs.kept(job.id)
    edges = (0.0, 4.0, 8.0, 12.0)
    whole = record(2, "one two three", duration=edges[-1])
    written: list[Callable[[Journal], object]] = [
        lambda journal: journal.append(0, [json.dumps(record(1, "short"))]),
        lambda journal: journal.divide(1, divisions.dump(Division(edges, {}))),
        lambda journal: journal.append_part(1, 2, part("three")),
        lambda journal: journal.append_part(1, 0, part("one")),
        lambda journal: journal.append_part(1, 1, part("two")),
        lambda journal: journal.append(1, [json.dumps(whole)]),
    ]
    seen: list[JobEvent] = []

    async def watch() -> None:
        async for event in jobs.events(job.id):
            seen.append(event)

    def parts() -> list[tuple[int, Any, str]]:
        shown = [event.data for event in seen if event.name == "segments"]
        return [(data["file"], data.get("part"), data["text"]) for data in shown]

    identity = RunIdentity("asr", {}, "input", 2)
    with Journal(kept.folder.output, identity) as journal:
        first, *others = written
        first(journal)
        journal.flush()
        watcher = threading.Thread(target=lambda: asyncio.run(watch()))
        watcher.start()
        until(lambda: parts() == [(1, None, "short")])
        assert [event.name for event in seen] == ["job", "segments", "progress"]
        for number, write in enumerate(others):
            write(journal)
            journal.flush()
            kept.watchers.notify()
            if 1 <= number <= 3:
                until(lambda: len(parts()) == number + 1)  # noqa: B023
        until(lambda: jobs.get(job.id).files[1].state == "done")
        runs.write = lambda folder: write_output(folder, [record(1, "short"), whole])
        runs.go.set()
        watcher.join(20)
    assert parts() == [(1, None, "short"), (2, 2, "three"), (2, 0, "one"), (2, 1, "two")]
    done = [event.data["seconds_done"] for event in seen if event.name == "progress"]
    assert done == sorted(done) and {13.0, 17.0, 21.0} <= {*done}
    assert [event.name for event in seen].count("end") == 1
    assert seen[-1].name == "end" and seen[-1].data["state"] == "done"
    kept.folder.journal.unlink()
    jobs.get(job.id)
    held = map(os.path.realpath, Path("/proc/self/fd").iterdir())
    assert not [path for path in held if job.id in path]  # disk that nobody could free
    late: list[JobEvent] = []

    async def watch_late() -> None:
        late.extend([event async for event in jobs.events(job.id)])

    asyncio.run(watch_late())
    assert [event.name for event in late] == ["job", "segments", "segments", "progress", "end"]


def part(text: str) -> str:
    return json.dumps({**record(2, text), "text": text, "spaced": True})


def test_watchers_hear_of_the_end_of_the_server(jobs: Jobs) -> None:
    job = submit(jobs)
    ends: list[str] = []

    async def watch() -> None:
        async for event in jobs.events(job.id):
            ends.append(event.name)

    watcher = threading.Thread(target=lambda: asyncio.run(watch()))
    watcher.start()
    until(lambda: ends)
    jobs.close()
    watcher.join(10)
    assert not watcher.is_alive()
    assert "end" not in ends


def test_corrections_are_checked() -> None:
    heard = record(1, "the quick brown fox")
    assert corrections.parse([{"segment": 0, "text": " a\n\tb\0 \ud800"}], heard) == {
        0: "a b \ufffd"
    }
    for body in (
        {},
        [1],
        [{"segment": 1, "text": "beyond"}],
        [{"segment": -1, "text": "before"}],
        [{"segment": True, "text": "no number"}],
        [{"segment": 0}],
        [{"segment": 0, "text": "x" * 20_001}],
        [{"segment": 0, "text": "twice"}, {"segment": 0, "text": "twice"}],
    ):
        with pytest.raises(UsageError, match="corrections: "):
            corrections.parse(body, heard)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the quick brown fox", ["the", "quick", "brown", "fox"]),
        ("The quick brown ox", ["The", "quick", "brown", "ox"]),
        ("the brown fox", None),
        ("quick the brown fox", None),
    ],
)
def test_words_of_corrected_segments_have_times_where_they_are_known(
    text: str, words: list[str] | None
) -> None:
    heard = record(1, "the quick brown fox")
    fixed = corrections.corrected(heard, {0: text})
    (segment,) = fixed["segments"]
    assert (fixed["text"], fixed["pred_text"], segment["text"]) == (text, heard["pred_text"], text)
    found = segment.get("words")
    assert (found and [word["word"] for word in found]) == words
    if found:
        assert [word["start"] for word in found] == [0.0, 1.0, 2.0, 3.0]
        assert ["confidence" in word for word in found] == [
            word == old for word, old in zip(text.split(), heard["pred_text"].split(), strict=True)
        ]


def test_corrected_text_is_spaced_as_the_transcript() -> None:
    def with_segments(text: str, *segments: str) -> dict[str, Any]:
        spans = [{"start": 0.0, "end": 1.0, "text": segment} for segment in segments]
        return {"pred_text": text, "segments": spans}

    chinese = with_segments("你好世界", "你好", "世界")
    assert corrections.corrected(chinese, {1: "朋友"})["text"] == "你好朋友"
    english = with_segments("Hello there. Bye.", "Hello there.", "Bye.")
    assert corrections.corrected(english, {0: ""})["text"] == "Bye."
    assert [one["text"] for one in corrections.corrected(english, {0: ""})["segments"]] == ["Bye."]
    disordered = with_segments("b a", "a", "b")
    assert corrections.corrected(disordered, {0: "c"})["text"] == "c b"
