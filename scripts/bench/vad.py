#!/usr/bin/env python
"""The VAD's speed side by side with what people would use instead, in one run.

    scripts/bench/vad.py --data DATA [--engine ten|silero] [--repeats 5] [--silero-python PYTHON]

DATA holds vad/*.wav and digits/*.wav. Every competitor runs as a program of its own, start-up and
decoding included, in turns, so that a busy machine slows all alike. The table shows medians, its
ratios are of wall time. All use the CPUs granted, but for silero-vad, which is run as its users
call it: one process, one file after the other.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import benchlib
import numpy as np
import soundfile
import soxr
from benchlib import CPUS
from numpy.typing import NDArray

RATE = 16_000  # Hz
HOP = 256  # samples, of TEN VAD
Samples = NDArray[np.float32]


# ---- Competitors: each is run as `vad.py --run NAME FILE...` ----


def read(path: str) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32")
    resampled: Samples = samples if rate == RATE else soxr.resample(samples, rate, RATE)
    return resampled


def read_int16(path: str) -> NDArray[np.int16]:
    samples, rate = soundfile.read(path, dtype="int16")
    return samples if rate == RATE else soxr.resample(samples, rate, RATE)


def bare_loop(path: str) -> float:
    """The C library as cheaply as Python calls it; a handle a file, as its state can't be reset."""
    import ctypes

    package = importlib.util.find_spec("ten_vad")
    assert package is not None and package.origin is not None
    library = ctypes.CDLL(str(Path(package.origin).parent / "lib/Linux/x64/libten_vad.so"))
    process = library.ten_vad_process
    process.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_void_p] * 2]
    audio = read_int16(path)
    found = np.empty(len(audio) // HOP, np.float32)
    flag, handle = ctypes.c_int32(), ctypes.c_void_p()
    library.ten_vad_create(ctypes.byref(handle), ctypes.c_size_t(HOP), ctypes.c_float(0.5))
    start, answer, flag_at = audio.ctypes.data, found.ctypes.data, ctypes.addressof(flag)
    for i in range(len(found)):
        process(handle, start + 2 * HOP * i, HOP, answer + 4 * i, flag_at)
    library.ten_vad_destroy(ctypes.byref(handle))
    return float(found.sum())


def plain_pattern(path: str) -> float:
    """What one writes first: a new model in every call of a process pool."""
    from ten_vad import TenVad

    vad = TenVad(HOP)
    audio = read_int16(path)
    frames = (audio[i : i + HOP] for i in range(0, len(audio) - HOP + 1, HOP))
    return float(sum(vad.process(frame)[0] for frame in frames))


def faster_whisper(files: list[str]) -> None:
    import faster_whisper.vad  # noqa: F401  (before the processes fork: once, not in each)

    in_processes(faster_whisper_segments, files)


def faster_whisper_segments(path: str) -> int:
    from faster_whisper.vad import get_speech_timestamps

    return len(get_speech_timestamps(read(path)))


def silero_vad(files: list[str]) -> None:
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    model = load_silero_vad()
    for path in files:
        get_speech_timestamps(torch.from_numpy(read(path)), model)


def in_processes(function: Callable[[str], object], files: list[str]) -> None:
    with ProcessPoolExecutor(CPUS) as pool:
        for _ in pool.map(function, files, chunksize=max(1, len(files) // (CPUS * 32))):
            pass


def file_by_file(function: Callable[[str], object], files: list[str]) -> None:
    with ProcessPoolExecutor(CPUS) as pool:
        for future in [pool.submit(function, path) for path in files]:
            future.result()


RUNS: dict[str, Callable[[list[str]], None]] = {
    "bare-loop": lambda files: in_processes(bare_loop, files),
    "plain-pattern": lambda files: file_by_file(plain_pattern, files),
    "faster-whisper": faster_whisper,
    "silero-vad": silero_vad,
}


# ---- Speed ----


@dataclass(frozen=True, slots=True)
class Peer:
    """A competitor, the Python that has its ``package``, and how often as fast we have to be."""

    title: str
    run: str
    package: str
    python: str
    target: float


def speed(engine: str, data: Path, repeats: int, silero_python: str) -> bool:
    files = sorted(str(path) for name in ("vad", "digits") for path in (data / name).glob("*.wav"))
    audio = sum(soundfile.info(path).duration for path in files)
    here = sys.executable
    peers = {
        "ten": [
            Peer(f"bare C library loop, {CPUS} processes", "bare-loop", "ten_vad", here, 0.9),
            Peer(f"plain pattern, {CPUS} processes", "plain-pattern", "ten_vad", here, 1.0),
        ],
        "silero": [
            Peer("silero-vad, one process", "silero-vad", "silero_vad", silero_python, 4.0),
            Peer(
                f"faster-whisper, {CPUS} processes", "faster-whisper", "faster_whisper", here, 1.5
            ),
        ],
    }[engine]
    missing = [peer for peer in peers if not importable(peer.python, peer.package)]
    peers = [peer for peer in peers if peer not in missing]
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "files.txt"
        listed.write_text("\n".join(files))
        ours = ("vad", data / "vad", data / "digits", "--engine", engine, "--restart")
        commands = {"speechkit": [benchlib.speechkit(*ours, "-o", Path(scratch) / "out.jsonl")]}
        for peer in peers:
            commands[peer.run] = [[peer.python, __file__, "--run", peer.run, str(listed)]]
        times = benchlib.alternate(commands, repeats)
    medians = {run: benchlib.median(timings) for run, timings in times.items()}

    own, cpu = medians["speechkit"].wall, medians["speechkit"].cpu
    print(f"\n{engine}: {len(files)} files, {audio:.0f} s of audio, medians of {repeats} runs")
    print(f"{'':34}{'wall s':>8}{'CPU s':>8}{'x real time':>13}{'ours is':>9}{'target':>8}")
    print(f"{'speechkit vad --engine ' + engine:34}{own:8.2f}{cpu:8.2f}{audio / own:13.0f}")
    met = True
    for peer in peers:
        wall, cpu = medians[peer.run].wall, medians[peer.run].cpu
        ratio = wall / own
        met &= ratio >= peer.target
        numbers = f"{wall:8.2f}{cpu:8.2f}{audio / wall:13.0f}{ratio:8.2f}x{peer.target:7.1f}x"
        print(f"{peer.title:34}{numbers}{'' if ratio >= peer.target else '  MISSED'}")
    for peer in missing:
        print(f"{peer.title:34} missing: {peer.package} is not importable by {peer.python}")
    return met


def importable(python: str, package: str) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=5, peers=True)
    parser.add_argument("--data", type=Path, help="folder with vad and digits")
    parser.add_argument("--engine", choices=["ten", "silero"], help="only this one")
    parser.add_argument(
        "--silero-python", default=sys.executable, help="a Python that has silero-vad and torch"
    )
    options = parser.parse_args()
    if options.run:
        name, listed = options.run
        RUNS[name](Path(listed).read_text().splitlines())
        return
    if options.data is None:
        parser.error("--data DATA is needed")
    benchlib.heading("ten-vad", "faster-whisper", "silero-vad")
    engines = [options.engine] if options.engine else ["ten", "silero"]
    met = [speed(e, options.data, options.repeats, options.silero_python) for e in engines]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
