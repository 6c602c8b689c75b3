"""The CPU time that metrics and traces add to a run over many tiny utterances.

The same `vad` with and without `--metrics` and `--prometheus`, in turns; the median of the
differences of each pair, of the CPU time of the runner and its workers.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import benchlib
import numpy as np
import soundfile

TARGET = 0.01  # of the CPU time without metrics
FILES, SECONDS, RATE = 100, 1.0, 16_000


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=5)
    parser.add_argument("--utterances", type=int, default=10_000)
    options = parser.parse_args()
    benchlib.heading("ten-vad")
    with tempfile.TemporaryDirectory() as folder:
        source = _tiny(Path(folder), options.utterances)
        pairs = [_pair(Path(folder), source) for _ in range(options.repeats)]
    without, with_ = (statistics.median(times) for times in zip(*pairs, strict=True))
    added = statistics.median(with_ - without for without, with_ in pairs)
    print(f"{options.utterances} utterances of {SECONDS:g} s, median of {options.repeats} pairs:")
    print(f"without metrics  {without:7.2f} s of CPU time")
    print(f"with metrics     {with_:7.2f} s of CPU time")
    print(f"added            {added / without:7.2%} (target: at most {TARGET:.0%})")
    print(f"                 {added / options.utterances * 1e6:7.1f} us an utterance")


def _tiny(folder: Path, count: int) -> Path:
    """A manifest of utterances that name few files."""
    noise = np.random.default_rng(1)
    for number in range(FILES):
        samples = noise.normal(0, 0.05, round(SECONDS * RATE)).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", samples, RATE)
    lines = (
        {"id": f"u{n}", "audio_filepath": str(folder / f"{n % FILES}.wav"), "duration": SECONDS}
        for n in range(count)
    )
    source = folder / "tiny.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return source


def _pair(folder: Path, source: Path) -> tuple[float, float]:
    """Seconds of CPU time without and with metrics."""
    told = ["--metrics", folder / "m.jsonl", "--prometheus", folder / "m.prom"]
    return _cpu(folder, source), _cpu(folder, source, *told)


def _cpu(folder: Path, source: Path, *arguments: object) -> float:
    command = benchlib.speechkit("vad", source, "-o", folder / "out.jsonl", "--restart", *arguments)
    before = os.times()
    subprocess.run([*map(str, command)], check=True, stderr=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )


if __name__ == "__main__":
    main()
