"""Speech cut from the examples, and ffmpeg to convert it."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from speechkit.engines.protocols import Clip

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "speech"


def whole(waveform: Waveform) -> Clip:
    """All of it is speech."""
    clip = Clip(waveform, 0.0)
    return replace(clip, speech=clip.seconds)


def cut_speech(folder: Path, count: int, longest: float, seed: int) -> Path:
    """``count`` pieces of the examples, 0.3 s to ``longest`` s, WAV, in two folders."""
    rng = random.Random(seed)
    recordings = [soundfile.read(path, dtype="int16") for path in sorted(EXAMPLES.glob("*/*.flac"))]
    for number in range(count):
        samples, rate = rng.choice(recordings)
        length = int(rng.uniform(0.3, longest) * rate)
        start = rng.randrange(len(samples) - length)
        path = folder / f"part{number % 2}" / f"{number:04}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples[start : start + length], rate)
    return folder


def repeated_story(file: Path, times: int) -> Path:
    """A WAV of an example of 4 s, so many times over."""
    samples, rate = soundfile.read(EXAMPLES / "slt" / "story.flac", dtype="int16")
    soundfile.write(file, np.tile(samples, times), rate)
    return file


def ffmpeg(*arguments: object, stdin: bytes = b"", level: str = "error") -> bytes:
    """Its stdout; it has nothing to say on ``level``. Skips where it is not installed."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg: scripts/system_packages.sh tests")
    command = ["ffmpeg", "-y", "-loglevel", level, *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def write_silence(file: Path, seconds: int, rate: int, channels: int) -> None:
    """A long WAV that takes no room on the disk: its samples are a hole."""
    soundfile.write(file, np.zeros((1, channels)), rate, subtype="PCM_16")
    size = seconds * rate * channels * 2
    with open(file, "r+b") as opened:
        opened.truncate(44 + size)
        for place, number in ((4, 36 + size), (40, size)):
            opened.seek(place)
            opened.write(number.to_bytes(4, "little"))
