#!/usr/bin/env python3
"""Packs for a GPU machine without a network what it lacks: .gpu/1, .gpu/2, ... of 44 MB at most.

    .venv/bin/python scripts/gpu/pack.py [--data DATA]

The machine is to have Python 3.12, torch, transformers 5 and pytest. It gets the wheels that it
lacks, Whisper base in float16 (as OpenAI published it, so that nothing is lost), tiny models and
speech. The folders travel in as many calls as it takes; scripts/gpu/run.py unpacks there what has
arrived: ``light``, which all need, ``nemo`` for NeMo, and ``base``, the largest, for what measures
real texts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
MODELS, TINY = ROOT / ".cache" / "models", ROOT / ".cache" / "tiny-models"
PART = 44_000_000  # bytes of a folder, at most
PLATFORMS = ("_2_28", "_2_27", "_2_24", "_2_17", "2014", "1")  # of manylinux
WHEELS = {
    "light": [
        *("soundfile", "cffi", "pycparser", "soxr", "omegaconf==2.3.0"),
        "faster-whisper",  # for the weights of silero in it; not what it needs to run
        *("jiwer", "rapidfuzz", "whisper-normalizer", "more-itertools", "indic-numtowords"),
    ],
    "nemo": [
        *("nemo_toolkit==3.0.0", "lightning==2.4.0", "pytorch-lightning==2.4.0"),
        *("lhotse==1.33.0", "cytoolz", "hydra-core==1.3.2", "librosa==0.11.0", "pooch"),
        *("text-unidecode", "kaldialign", "webdataset", "braceexpand", "smart-open", "toml"),
        *("nv-one-logger-core==2.3.1", "nv-one-logger-training-telemetry==2.3.1"),
        *("nv-one-logger-pytorch-lightning-integration==2.3.1", "pydantic==2.14.4"),
        *("pydantic-core==2.50.5", "typing-inspection", "annotated-types", "strenum"),
        *("tenacity", "overrides", "intervaltree", "platformdirs", "audioread", "decorator"),
        *("text2num", "datasets", "multiprocess", "dill"),
    ],
}
BASE_FILES = (
    *("config.json", "generation_config.json", "preprocessor_config.json"),
    *("tokenizer.json", "vocab.json", "merges.txt"),
)
TINY_S2S = ("hubert-dict.pt", "hubert-folder", "km.npz", "vocoder", "vocoder-multi")
TINY_NEMO = ("nemo-ctc.nemo", "nemo-rnnt.nemo")
TAKES = (0, 1)  # of each digit by each speaker, neither of which the tiny models were trained on


def light(folder: Path, data: Path) -> None:
    download("light", folder / "wheels")
    copy_antlr4(folder / "wheels" / "antlr4")
    for name in BASE_FILES:
        copy(MODELS / "base-hf" / name, folder / "models" / "base-hf" / name)
    for name in TINY_S2S:
        copy(TINY / "s2s" / name, folder / "tiny-models" / "s2s" / name)
    copy(data / "librispeech", folder / "data" / "librispeech")
    for take in TAKES:
        for path in (data / "digits").glob(f"*_{take}.wav"):
            copy(path, folder / "data" / "digits" / path.name)


def base(folder: Path, _: Path) -> None:
    """In half the precision, without a loss, or not at all."""
    weights = load_file(MODELS / "base-hf" / "model.safetensors")
    halved = {name: value.astype(np.float16) for name, value in weights.items()}
    for name, value in weights.items():
        if not np.array_equal(halved[name].astype(np.float32), value):
            sys.exit(f"{name} is no float16: packing it would change it")
    file = folder / "models" / "base-hf" / "model.safetensors"
    file.parent.mkdir(parents=True)
    save_file(halved, file, {"format": "pt"})


def nemo(folder: Path, _: Path) -> None:
    download("nemo", folder / "wheels")
    for name in TINY_NEMO:
        copy(TINY / name, folder / "tiny-models" / name)
    copy(TINY / "tokenizer", folder / "tiny-models" / "tokenizer")


ARCHIVES = {"light": light, "nemo": nemo, "base": base}


def download(name: str, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    pip += ["--no-deps", "--only-binary=:all:", "--python-version=3.12", "--implementation=cp"]
    pip += [f"--platform=manylinux{version}_x86_64" for version in PLATFORMS]
    subprocess.run([*pip, "--dest", folder, *WHEELS[name]], check=True)


def copy_antlr4(folder: Path) -> None:
    """omegaconf needs it, and no index has a wheel of it."""
    import antlr4

    copy(Path(antlr4.__file__).parent, folder)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def pack(name: str, data: Path, into: Path) -> Path:
    """The archive of that name, compressed."""
    folder = into / name
    ARCHIVES[name](folder, data)
    archive = into / f"{name}.tgz"
    with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
        tar.add(folder, ".")
    return archive


def slices(sizes: dict[str, int]) -> Iterator[tuple[str, int, int, int]]:
    """The archive, the folder's number, the first byte and the last of each slice: folders are
    filled one after another."""
    number, room = 1, PART
    for name, size in sizes.items():
        begin = 0
        while begin < size:
            if not room:
                number, room = number + 1, PART
            end = min(size, begin + room)
            yield name, number, begin, end
            begin, room = end, room - (end - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output-dir", type=Path, default=ROOT / ".gpu")
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    options = parser.parse_args()
    shutil.rmtree(options.output_dir, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        archives = {name: pack(name, options.data, Path(temporary)) for name in ARCHIVES}
        cuts = list(slices({name: path.stat().st_size for name, path in archives.items()}))
        of = {name: sum(cut[0] == name for cut in cuts) for name in archives}
        for name, number, begin, end in cuts:
            folder = options.output_dir / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            at = 1 + sum(cut[0] == name and cut[2] < begin for cut in cuts)
            with open(archives[name], "rb") as file:
                file.seek(begin)
                (folder / f"{name}.{at}of{of[name]}").write_bytes(file.read(end - begin))
    for folder in sorted(options.output_dir.iterdir()):
        held = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        print(f"{folder}: {sum(held.values()) / 1e6:.1f} MB: {json.dumps(held)}")


if __name__ == "__main__":
    main()
