"""Speech cut from the examples."""

from __future__ import annotations

import random
from pathlib import Path

import soundfile

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "speech"


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
