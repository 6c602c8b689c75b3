#!/usr/bin/env python
"""The speed of `validate` side by side with PyPI's audio-data-quality-toolkit, in one run.

    scripts/bench/validate.py --data DATA [--copies 5] [--repeats 3] [--peer-python PYTHON]

DATA is a folder of speech, of which ``--copies`` are made at 16 kHz, as WAV, so that start-up is
a small part. Both run as programs of their own, in turns, start-up and decoding included, with as
many processes as CPUs are granted. Without a Python that has the toolkit, speechkit runs alone.
Then follows the CPU time of each measure for a second of audio.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import benchlib
import numpy as np
import soundfile
import soxr
from benchlib import CPUS

from speechkit.stages.validate.channels import Channels
from speechkit.stages.validate.clipping import Clipping
from speechkit.stages.validate.dropouts import Dropouts
from speechkit.stages.validate.framing import Framing
from speechkit.stages.validate.levels import Levels
from speechkit.stages.validate.loudness import Loudness
from speechkit.stages.validate.measures import Measures
from speechkit.stages.validate.spectrum import Spectrum

RATE = 16_000  # Hz
TARGET = 500.0  # times real time
PEER_TARGET = 3.0  # times the toolkit
SECONDS = 30  # of audio in a block, as decoders give it


def copies(data: Path, count: int, folder: Path) -> float:
    """Write ``count`` copies of the speech, no two the same; its seconds."""
    folder.mkdir()
    seconds = 0.0
    files = [path for suffix in ("wav", "flac") for path in sorted(data.glob(f"*.{suffix}"))]
    for path in files:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        speech = samples.mean(axis=1)
        speech = speech if rate == RATE else soxr.resample(speech, rate, RATE)
        for number in range(count):
            name = folder / f"{path.stem}-{number}.wav"
            soundfile.write(name, np.roll(speech, 16 * number), RATE)
            seconds += len(speech) / RATE
    return seconds


def has_toolkit(python: str) -> bool:
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('audio_qa') is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def speed(data: Path, count: int, repeats: int, peer_python: str) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "speech"
        audio = copies(data, count, folder)
        out = Path(scratch) / "out.jsonl"
        ours = benchlib.speechkit("validate", folder, "-o", out, "--restart")
        commands = {"speechkit validate": [ours]}
        if has_toolkit(peer_python):
            code = "from audio_qa.cli import main; main()"
            peer = [peer_python, "-c", code, folder, "--workers", CPUS]
            commands["audio-data-quality-toolkit"] = [[*map(str, peer)]]
        else:
            print(f"{peer_python} has no audio-data-quality-toolkit")
        times = benchlib.alternate(commands, repeats)
    print(f"\n{len(times['speechkit validate'])} runs over {audio:.0f} s of audio, medians")
    print(f"{'':28}{'wall s':>8}{'CPU s':>8}{'x real time':>13}{'CPU ms/s':>10}")
    medians = {name: benchlib.median(timings) for name, timings in times.items()}
    for name, timing in medians.items():
        numbers = f"{timing.wall:8.2f}{timing.cpu:8.2f}{audio / timing.wall:13.0f}"
        print(f"{name:28}{numbers}{1000 * timing.cpu / audio:10.2f}")
    own = medians["speechkit validate"].wall
    met = audio / own >= TARGET
    print(f"{audio / own:.0f}x real time, target {TARGET:.0f}x{'' if met else '  MISSED'}")
    for name, timing in medians.items():
        if name != "speechkit validate":
            ratio = timing.wall / own
            met &= ratio >= PEER_TARGET
            missed = "" if ratio >= PEER_TARGET else "  MISSED"
            print(f"{ratio:.1f}x {name}, target {PEER_TARGET:.0f}x{missed}")
    return met


def cost_of_measures(data: Path) -> None:
    """CPU milliseconds for a second of mono audio at 16 kHz."""
    files = [path for suffix in ("wav", "flac") for path in sorted(data.glob(f"*.{suffix}"))]
    speech = np.concatenate(
        [
            soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
            for path in files[:20]
        ]
    )
    block = np.resize(speech, (SECONDS * RATE, 1)).astype(np.float32)
    framing = Framing(RATE, 1)
    rows = list(framing.rows(np.ascontiguousarray(block.T)))
    extremes = [(row.seconds.max(axis=-1), row.seconds.min(axis=-1)) for row in rows]
    spectra = [np.fft.rfft(row.samples) for row in rows]
    pairs = [*zip(rows, extremes, strict=True)]
    parts: dict[str, Callable[[], object]] = {
        "all": lambda: Measures(RATE).add(block),
        "spectra": lambda: [np.fft.rfft(row.samples) for row in rows],
        "loudness": lambda: _each(Loudness(framing, 1).add, [(one, RATE) for one in spectra]),
        "bandwidth and hum": lambda: _each(
            Spectrum(RATE, framing.size).add, [(one,) for one in spectra]
        ),
        "levels and silence": lambda: _each(Levels(1).add, [(r.seconds, *e) for r, e in pairs]),
        "clipping": lambda: _each(Clipping(1).add, [(r.seconds, *e) for r, e in pairs]),
        "dropouts": lambda: Dropouts(RATE).add(block[:, 0]),
        "channels (of one)": lambda: _each(Channels(1).add, [(r.seconds,) for r in rows]),
    }
    print("\nCPU milliseconds for a second of audio, without decoding and VAD:")
    for name, part in parts.items():
        part()
        began = time.process_time()
        for _ in range(10):
            part()
        print(f"{name:28}{(time.process_time() - began) * 1000 / (10 * SECONDS):8.3f}")


def _each(add: Callable[..., None], arguments: list[tuple[object, ...]]) -> None:
    for one in arguments:
        add(*one)


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.DATA / "librispeech")
    parser.add_argument("--copies", type=int, default=5, help="of each recording")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="a Python that has the toolkit"
    )
    options = parser.parse_args()
    benchlib.heading("numpy", "onnxruntime")
    met = speed(options.data, options.copies, options.repeats, options.peer_python)
    cost_of_measures(options.data)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
