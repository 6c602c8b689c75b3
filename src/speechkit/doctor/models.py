"""The models that have names: a list of them, and the hashes of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechkit.engines import model_catalogue, registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.model_catalogue import KnownModel
from speechkit.errors import EngineMissing, UsageError
from speechkit.io.checksums import hash_like


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model that has a name.

    ``size``: bytes to fetch, approximately; ``path``: of its files, None where they are not here
    or are ``packaged``, to be joined at first use; ``get``: the command that brings it.
    """

    name: str
    engine: str
    size: int
    licence: str
    path: str | None
    packaged: bool
    get: str

    @property
    def is_here(self) -> bool:
        return self.packaged or self.path is not None

    @property
    def where(self) -> str:
        return self.path or ("installed, joined when first used" if self.packaged else self.get)


@dataclass(frozen=True, slots=True)
class Verification:
    """A model whose files were hashed: the number of files with a known hash, and the damages.

    A damage is a sentence on a file.
    """

    name: str
    engine: str
    path: str
    files: int
    damages: tuple[str, ...]


def listing() -> list[ListedModel]:
    return [_listed(known) for known in model_catalogue.KNOWN]


def _listed(known: KnownModel) -> ListedModel:
    info = registry.find("asr", known.engine)
    path = model_catalogue.here(info, known.name)
    get = f"speechkit models get {known.name} --engine {known.engine}"
    return ListedModel(
        name=known.name,
        engine=known.engine,
        size=int(known.size),
        licence=known.licence,
        path=str(path) if path else None,
        packaged=model_catalogue.is_packaged(info, known.name),
        get=known.packaged.install if known.packaged else get,
    )


def fetching_engine(name: str) -> EngineInfo:
    """The engine of this name. Raise `UsageError` for one whose models can't be fetched."""
    engines = {info.name: info for info in registry.ENGINES if info.hub}
    if name not in engines:
        raise UsageError(f"--engine {name}: models can be fetched for {', '.join(engines)}")
    return engines[name]


def models_here() -> list[tuple[EngineInfo, str]]:
    """The models of the list whose files are here."""
    return [(fetching_engine(model.engine), model.name) for model in listing() if model.is_here]


def verified(info: EngineInfo, name: str) -> Verification:
    """Hash all files that were published with a hash; join a packaged model first.

    Raise `EngineMissing` for a model that is not here.
    """
    if not model_catalogue.is_here(info, name):
        raise EngineMissing(f"model {name} is not here; {model_catalogue.way_out(info, name)}")
    folder = model_catalogue.locate(info, name, offline=True)
    hashes = model_catalogue.published(info, name, folder)
    damages = (_damage(path.resolve(), published) for path, published in hashes.items())
    return Verification(name, info.name, str(folder), len(hashes), tuple(filter(None, damages)))


def _damage(path: Path, published: str) -> str:
    actual = hash_like(path, published)
    if actual == published:
        return ""
    return (
        f"{path}: hash {actual or 'of no file'}, should be {published}; remove it, and it is made "
        "anew"
    )
