#!/usr/bin/env python3
"""Makes examples/languages from examples/languages.tsv: LANGUAGE.flac and LANGUAGE.txt.

Spoken by SVOX Pico: pip install py-nanotts==0.1.1. The same version gives the same files.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
from py_nanotts import NanoTTS

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATE = 16_000  # Hz, Pico's
SILENCE = 0.5  # seconds before and after
PEAK = 0.7
NOISE = 8e-4  # root mean square: a quiet room, -62 dBFS


def main() -> None:
    folder = EXAMPLES / "languages"
    folder.mkdir(exist_ok=True)
    with open(EXAMPLES / "languages.tsv", encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            said = np.frombuffer(NanoTTS().speak(row["text"], voice=row["voice"]), np.int16)
            clean = np.pad(said * (PEAK / np.abs(said).max()), round(SILENCE * RATE))
            noise = np.random.default_rng(1).normal(0, NOISE, len(clean))
            soundfile.write(folder / f"{row['language']}.flac", clean + noise, RATE)
            (folder / f"{row['language']}.txt").write_text(row["text"] + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
