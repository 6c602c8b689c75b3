"""`speechkit serve` beside the plainest server over faster-whisper.

    scripts/bench/serve.py [--model base] [--repeats 5] [--only throughput latency memory]

The peer is an endpoint that calls ``WhisperModel.transcribe`` on each upload, one after another,
with the same weights in int8 and all threads: as its defaults are (5 beams), and with 1 beam, as
speechkit searches. Throughput: 8 requests of 10 s at once, in turns with the peers. Latency: a clip
of 3 s alone, and every few seconds while a file of ten minutes is transcribed. Memory: of the
server's processes before it has loaded a model, with it, and after ``--idle``.

Targets: throughput at least 1.3 times the peer's; the clip's 95th percentile at most 3 times its
time alone; the memory after unloading within 10 % of that before.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import benchlib
import httpx
import numpy as np
import psutil
import recordings
import soundfile

AT_ONCE, LENGTH = 8, 10.0
CLIP, LONG = 3.0, 600.0
IDLE = 5.0  # seconds until the model is unloaded
KINDS = ("throughput", "latency", "memory")

PEER = """
import sys, tempfile, threading
import uvicorn
from faster_whisper import WhisperModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

folder, beams = sys.argv[1], int(sys.argv[2])
model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=int(sys.argv[3]))
turn = threading.Lock()

def transcribe(form):
    with turn, tempfile.NamedTemporaryFile() as file:
        file.write(form)
        file.flush()
        segments, _ = model.transcribe(file.name, beam_size=beams)
        return "".join(segment.text for segment in segments)

async def endpoint(request):
    from starlette.concurrency import run_in_threadpool
    async with request.form() as form:
        data = await form["file"].read()
    return JSONResponse({"text": await run_in_threadpool(transcribe, data)})

app = Starlette(routes=[Route("/v1/audio/transcriptions", endpoint, methods=["POST"])])
config = uvicorn.Config(app, port=0, log_level="error")
server = uvicorn.Server(config)
listening = config.bind_socket()
print(f"http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
server.run(sockets=[listening])
"""


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=5, data=benchlib.DATA / "librispeech")
    parser.add_argument("--model", default="base", choices=["base", "tiny.en"])
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=KINDS)
    options = parser.parse_args()
    benchlib.heading("faster-whisper", "ctranslate2", "starlette", "uvicorn")
    with tempfile.TemporaryDirectory() as folder:
        speech = np.concatenate([one.samples for one in recordings.read(options.data)])
        measures = {"throughput": throughput, "latency": latency, "memory": memory}
        for kind in options.only:
            measures[kind](options, speech, Path(folder))


def throughput(options: argparse.Namespace, speech: np.ndarray, folder: Path) -> None:
    size = round(LENGTH * recordings.RATE)
    files = [
        written(folder / f"{number}.wav", speech[number * size : (number + 1) * size])
        for number in range(AT_ONCE)
    ]
    with ExitStack() as running:
        servers = {
            "speechkit serve": running.enter_context(speechkit(options.model, folder / "data")),
            "peer": running.enter_context(peer(options.model, beams=5)),
            "peer, 1 beam": running.enter_context(peer(options.model, beams=1)),
        }
        for url in servers.values():
            ask(url, files[0])
        walls: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(options.repeats):
            for name, url in servers.items():
                walls[name].append(all_at_once(url, files))
    print(f"\n{AT_ONCE} requests of {LENGTH:g} s at once")
    ours = statistics.median(walls["speechkit serve"])
    for name, times in walls.items():
        wall = statistics.median(times)
        print(
            f"  {name:16} {wall:6.2f} s, {AT_ONCE * LENGTH / wall:5.1f}x real time; "
            f"speechkit {wall / ours:.2f} times as fast",
            flush=True,
        )


def latency(options: argparse.Namespace, speech: np.ndarray, folder: Path) -> None:
    size = round(CLIP * recordings.RATE)
    clip = written(folder / "clip.wav", speech[size : 2 * size])
    repeated = np.resize(speech, round(LONG * recordings.RATE))
    long = written(folder / "long.wav", repeated)
    with speechkit(options.model, folder / "data") as url:
        ask(url, clip)
        alone = [timed(lambda: ask(url, clip)) for _ in range(4 * options.repeats)]
        beside: list[float] = []
        file = threading.Thread(target=ask, args=(url, long))
        began = time.monotonic()
        file.start()
        time.sleep(5)
        while file.is_alive():
            beside.append(timed(lambda: ask(url, clip)))
            time.sleep(0.5)
        wall = time.monotonic() - began
    median, (first, last) = statistics.median(alone), (p95(alone), p95(beside))
    print(f"\na clip of {CLIP:g} s, {len(alone)} times: median {median:.2f} s, p95 {first:.2f} s")
    print(
        f"  while {LONG:g} s are transcribed in {wall:.0f} s, {len(beside)} times: median "
        f"{statistics.median(beside):.2f} s, p95 {last:.2f} s: {last / median:.2f} times the "
        "median alone",
        flush=True,
    )


def memory(options: argparse.Namespace, speech: np.ndarray, folder: Path) -> None:
    clip = written(folder / "clip.wav", speech[: round(CLIP * recordings.RATE)])
    with speechkit(options.model, folder / "data", "--idle", IDLE) as url:
        time.sleep(2)
        before = resident()
        for _ in range(3):
            ask(url, clip)
        loaded = resident()
        time.sleep(2 * IDLE)
        after = resident()
    print(
        f"\nmemory: {before >> 20} MiB, with {options.model} {loaded >> 20}, unloaded "
        f"{after >> 20} ({100 * (after / before - 1):+.1f} %)",
        flush=True,
    )


def resident() -> int:
    return sum(child.memory_info().rss for child in psutil.Process().children(recursive=True))


def written(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, recordings.RATE)
    return path


@contextmanager
def speechkit(model: str, data: Path, *arguments: object) -> Iterator[str]:
    """The address of a server."""
    command = benchlib.speechkit(
        *("serve", "--port", 0, "--data", data, "--model", benchlib.MODELS / model, *arguments)
    )
    with served(command) as url:
        yield url


@contextmanager
def peer(model: str, beams: int) -> Iterator[str]:
    folder = str(benchlib.MODELS / model)
    with served([sys.executable, "-c", PEER, folder, str(beams), str(benchlib.CPUS)]) as url:
        yield url


@contextmanager
def served(command: list[str]) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            yield running.stdout.readline().strip().rstrip("/")
        finally:
            running.terminate()


def all_at_once(url: str, files: list[Path]) -> float:
    with ThreadPoolExecutor(len(files)) as threads:
        return timed(lambda: list(threads.map(lambda file: ask(url, file), files)))


def ask(url: str, file: Path) -> str:
    with file.open("rb") as data:
        answer = httpx.post(
            f"{url}/v1/audio/transcriptions",
            files={"file": ("a.wav", data)},
            data={"model": "whisper-1"},
            timeout=1800,
        )
    answer.raise_for_status()
    text: str = answer.json()["text"]
    assert text.strip(), "no text"
    return text


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def p95(times: list[float]) -> float:
    return float(np.percentile(times, 95))


if __name__ == "__main__":
    main()
