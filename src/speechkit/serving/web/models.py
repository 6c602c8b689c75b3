"""The models that requests may name, and where each is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from speechkit.engines import model_catalogue, registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.errors import EngineMissing
from speechkit.io import model_files
from speechkit.serving.web.request_errors import UnknownModel
from speechkit.serving.web.settings import ServerSettings

State = Literal["loaded", "installed", "cached", "to_fetch"]
#: What clients of OpenAI send by habit: the server's default model.
OPENAI_NAMES = ("whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model as requests name it, and as its ``engine`` takes it: ``model`` is a name, a path, or
    None where the engine has no choice. ``fetch_bytes``: to be fetched, if it is not here."""

    id: str
    engine: str
    model: str | None
    fetch_bytes: int | None = None

    def is_named(self, model: str | None, engine: str | None) -> bool:
        if engine is None:
            return model == self.id
        return engine == self.engine and model in (self.id, self.model)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """``size``: bytes on disk or to fetch, None if unknown. ``changed``: when its files were
    written, in seconds since 1970; 0 if unknown."""

    offered: OfferedModel
    state: State
    size: int | None
    changed: int = 0


class ModelList:
    """The server's own model, the named ones, and the engines that have but one.

    No request can name a path or a repository. ``loaded``: the engines and models in memory.
    """

    def __init__(
        self, settings: ServerSettings, loaded: Callable[[], Iterable[tuple[str, str | None]]]
    ) -> None:
        self._offline = settings.hardware.offline
        self._default = _own(settings)
        self._offered = {self._default.id: self._default}
        for one in _named(settings.engine):
            self._offered.setdefault(one.id, one)
        self._loaded = loaded

    @property
    def default(self) -> OfferedModel:
        return self._default

    def find(self, model: str | None, engine: str | None = None) -> OfferedModel:
        """The model of a request, which may name its engine beside it.

        It is on this machine, or can be fetched. Raises `UnknownModel`.
        """
        found = self._find(model, engine)
        if self._offline and not self.is_here(found):
            raise UnknownModel(
                f"model {found.id} is not on this server, which is offline", param="model"
            )
        return found

    def find_here(self, model: str | None) -> OfferedModel:
        """As `find`, without models that would be fetched first."""
        found = self._find(model, None)
        if not self.is_here(found):
            raise UnknownModel(
                f"model {found.id} is not on this server yet: run `speechkit models get "
                f"{found.model} --engine {found.engine}` there, or use it once on the page",
                param="model",
            )
        return found

    def _find(self, model: str | None, engine: str | None) -> OfferedModel:
        model = model or None
        if engine is None and model in (None, *OPENAI_NAMES):
            return self._default
        if engine == self._default.engine and model is None:
            return self._default
        for one in self._offered.values():
            if one.is_named(model, engine):
                return one
        name = " ".join(filter(None, (engine, model)))
        raise UnknownModel(f"no model {name!r:.80}; /v1/models lists those here", param="model")

    def name_of(self, engine: str, model: str | None) -> str:
        """The name by which requests know what an engine has loaded."""
        for one in self._offered.values():
            if (one.engine, one.model) == (engine, model):
                return one.id
        return PurePath(model or engine).name

    def is_here(self, offered: OfferedModel) -> bool:
        return offered is self._default or self.listed(offered).state != "to_fetch"

    def listed(self, offered: OfferedModel) -> ListedModel:
        """The state of a model. It looks at the disk, so call it in a thread."""
        info = registry.find("asr", offered.engine)
        model = offered.model or ""
        path = model_catalogue.here(info, model) if model and info.weights else None
        size, changed = offered.fetch_bytes, 0
        if path:
            size, changed = model_files.size(path), int(path.stat().st_mtime)
        state: State = "to_fetch"
        if (offered.engine, offered.model) in self._loaded():
            state = "loaded"
        elif not (model and info.weights) or model_catalogue.is_packaged(info, model):
            state = "installed"
        elif path:
            state = "cached" if model_files.local(model, info.weights) is None else "installed"
        return ListedModel(offered, state, size, changed)

    def listing(self) -> list[ListedModel]:
        """All that are here or can be fetched."""
        models = map(self.listed, self._offered.values())
        return [one for one in models if not (self._offline and one.state == "to_fetch")]


def _own(settings: ServerSettings) -> OfferedModel:
    info = registry.find("asr", settings.engine)
    model = settings.model or info.model or None
    name = PurePath(model).name if model else settings.engine
    return OfferedModel(name, settings.engine, model)


def _named(default_engine: str) -> Iterator[OfferedModel]:
    """The models of the installed engines: those of the default engine by their names, others by
    their engine and name."""
    for info in registry.available("asr"):
        if not _is_installed(info):
            continue
        if not info.needs_model and not info.weights:
            yield OfferedModel(info.name, info.name, None)
        for known in model_catalogue.KNOWN:
            if known.engine == info.name:
                own = known.engine == default_engine
                name = known.name if own else f"{known.engine}/{known.name}"
                yield OfferedModel(name, known.engine, known.name, int(known.size))


def _is_installed(info: EngineInfo) -> bool:
    try:
        registry.require_installed(info)
    except EngineMissing:
        return False
    return True
