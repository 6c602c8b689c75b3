#!/usr/bin/env python3
"""Compares speechkit's reader with ffmpeg on a file of every container and codec ffmpeg writes.

    python scripts/compare_with_ffmpeg.py [SPEECH] [--only TEXT] [--keep FOLDER]

SPEECH: the recording that all files are made of. A row for each kind of file: seconds by ffmpeg, by
the reader's header and by its decoder; the correlation of the two waveforms at 16 kHz where they
fit best, and how many milliseconds later speechkit's is there. Kinds that ffmpeg can't write or
read here, and those whose container the reader doesn't let in, are counted apart. Exit code 1
where anything else differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from odd_audio import files
from odd_audio.files import RATE, Kind
from speechkit.errors import SpeechkitError
from speechkit.io.decoders.ffmpeg import INDEXED, SEQUENTIAL

SECONDS = 0.05  # that durations may differ by
CORRELATION = 0.99  # at least
REACH = 0.1  # seconds that a waveform is looked for on either side
SHIFT = 0.01  # seconds that a waveform may lie beside ffmpeg's
COLUMNS = ("container", "codec", "ffmpeg s", "probe s", "load s", "corr.", "shift ms", "flags")


def aligned(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[float, float]:
    """The correlation at the best alignment, and how many seconds ``ours`` is late there."""
    if not len(ours) or not len(theirs):
        return 0.0, 0.0
    size = 1 << (len(ours) + len(theirs)).bit_length()
    products = np.fft.irfft(np.fft.rfft(ours, size) * np.fft.rfft(theirs, size).conj(), size)
    lags = np.arange(-int(REACH * RATE), int(REACH * RATE) + 1)
    lag = int(lags[np.argmax(products[lags])])
    ours, theirs = ours[max(0, lag) :], theirs[max(0, -lag) :]
    common = min(len(ours), len(theirs))
    ours, theirs = ours[:common], theirs[:common]
    power = float(np.linalg.norm(ours)) * float(np.linalg.norm(theirs))
    return float(ours @ theirs) / power if power else 0.0, lag / RATE


def let_in(path: Path) -> bool:
    """Whether ffmpeg's demuxer of the file is among those that the reader allows."""
    try:
        with av.open(str(path)) as container:
            return container.format.name in {*INDEXED, *SEQUENTIAL}
    except av.error.FFmpegError:
        return False


def compared(path: Path) -> list[str]:
    """The row of a file from the third column on, its verdict last."""
    theirs = files.decode(path)
    seconds = f"{len(theirs) / RATE:.3f}"
    try:
        reading = files.read(path)
    except SpeechkitError as e:
        message = str(e).removeprefix(f"{path}: ")
        verdict = "DIFFERS: error" if let_in(path) else "refused"
        return [seconds, "", "", "", "", f"{type(e).__name__}: {message}", verdict]
    ours = reading.waveform
    if not len(theirs):
        return [
            seconds,
            f"{reading.probed:.3f}",
            f"{len(ours) / RATE:.3f}",
            "",
            "",
            "",
            "ours alone",
        ]
    correlation, late = aligned(ours, theirs)
    faults = []
    if abs(len(ours) - len(theirs)) > SECONDS * RATE:
        faults.append("length")
    if abs(reading.probed - len(theirs) / RATE) > SECONDS:
        faults.append("probe")
    if correlation < CORRELATION:
        faults.append("waveform")
    if abs(late) > SHIFT:
        faults.append("shift")
    return [
        *(seconds, f"{reading.probed:.3f}", f"{len(ours) / RATE:.3f}", f"{correlation:.4f}"),
        *(f"{late * 1000:+.1f}", " ".join(reading.flags)),
        "DIFFERS: " + ", ".join(faults) if faults else "same",
    ]


def row(kind: Kind, sources: dict[int, Path], folder: Path) -> list[str]:
    path = folder / (kind.name.replace("/", "-") + kind.suffix)
    fault = files.make(kind, sources, path)
    found = ["", "", "", "", "", fault, "not made"] if fault else compared(path)
    return [kind.container, kind.encoder, *found]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = files.SPEECH / "awb" / "winter.flac"
    parser.add_argument("speech", type=Path, nargs="?", default=default)
    parser.add_argument("--only", default="", help="part of the names of kinds, say wav/ or aac")
    parser.add_argument("--keep", type=Path, help="a folder for the files")
    asked = parser.parse_args()
    kinds = [kind for kind in files.KINDS if asked.only in kind.name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sources = files.write_sources(asked.speech, Path(temporary))
        rows = [row(kind, sources, folder) for kind in kinds]
    table = Table(*COLUMNS, "verdict", box=None, padding=(0, 1))
    for one in rows:
        table.add_row(*one)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    verdicts = Counter(one[-1].partition(":")[0] for one in rows)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    return 1 if verdicts["DIFFERS"] or not verdicts["same"] else 0


if __name__ == "__main__":
    sys.exit(main())
