"""The embed stage: utterances to vectors, in shards and an index."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechkit import keys
from speechkit.engines import model_catalogue, registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import SAMPLE_RATE, DeviceUse, EmbedEngine, Pooled
from speechkit.engines.registry import Engine
from speechkit.engines.valid_items import map_valid
from speechkit.errors import AudioTooShort, EngineMissing, UsageError, UtteranceError
from speechkit.io.checksums import content_stamp
from speechkit.io.embedding_shards import BYTES, EMBEDDINGS, SHARD_ROWS
from speechkit.io.inputs import Inputs
from speechkit.io.model_files import nearby
from speechkit.records import Record, Utterance
from speechkit.runtime.batching import EQUAL
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio
from speechkit.runtime.worker_plan import WINDOW_SECONDS, Hardware, batch_sizes, plan_workers
from speechkit.stages.embed.output_folder import OutputFolder, place
from speechkit.stages.embed.vectors import VECTORS, joined, packed, windows
from speechkit.stages.engine_values import configured, require_taken

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

    Vectors = Mapping[str, NDArray[np.float32]]

#: Among the pinned options: what tells a model and adapters from others under the same paths.
STAMPS = ("model_content", "adapter_content")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedOptions:
    """Options of the embed stage.

    ``folder``: for the shards and their index. ``model``: None for the engine's default. ``dtype``:
    of the vectors. ``shard_rows``: vectors in a shard. ``engine_options``: the options set among
    those of the engine's `EngineOptions`.
    """

    folder: str
    engine: str = registry.default("embed")
    model: str | None = None
    dtype: str = "float32"
    shard_rows: int = SHARD_ROWS
    channel: int | None = None
    track: str | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class EmbedProcessor(Processor):
    """`Processor` of the embed stage. ``at_once``: seconds of audio for a call of the engine.
    ``model_copies``: as in `Hardware`."""

    options: EmbedOptions
    engine: Engine
    at_once: float
    one_by_one: bool
    model_copies: Path | None = None
    _engine: EmbedEngine = field(init=False)

    def survey(self, inputs: Inputs, *, restart: bool) -> None:
        folder = OutputFolder(
            Path(self.options.folder), self.options.dtype, self.options.shard_rows
        )
        names = [EMBEDDINGS, *(name for name, _ in _adapters(self.engine))]
        folder.claim(names, restart=restart)

    def open(self) -> None:
        engine = self.engine
        if engine.info.takes("model") and engine.value("model"):
            model = nearby(Path(engine.value("model")), self.model_copies)
            engine = engine.with_values(model=str(model))
        self._engine = engine.build()

    def load(self, utterance: Utterance) -> Loaded:
        return load_audio(utterance, self.options.channel, self.options.track)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record] | UtteranceError]:
        vectors = map_valid(map(self._long_enough, batch), self._vectors)
        for loaded, one in zip(batch, vectors, strict=True):
            yield one if isinstance(one, UtteranceError) else self._records(loaded, one)

    def device_use(self) -> DeviceUse | None:
        return self._engine.device_use()

    def _long_enough(self, loaded: Loaded) -> Loaded | UtteranceError:
        if loaded.data.samples >= self._engine.shortest:
            return loaded
        return AudioTooShort(
            f"{loaded.data.samples} samples at 16 kHz, and the model's first frame needs "
            f"{self._engine.shortest}"
        )

    def _vectors(self, batch: Sequence[Loaded]) -> Iterator[Vectors]:
        """The vectors of each utterance by name, as soon as they are there."""
        for _, found in groupby(self._pooled(batch), key=itemgetter(0)):
            pooled = joined([one for _, one in found], self._engine.pooling)
            yield {name: rows[0] for name, rows in self._engine.finish(pooled[None]).items()}

    def _pooled(self, batch: Sequence[Loaded]) -> Iterator[tuple[int, Pooled]]:
        """What the engine makes of each window, with the number of its utterance in the batch."""
        held: list[tuple[int, Waveform]] = []
        samples = 0
        for number, loaded in enumerate(batch):
            for window in windows(loaded.data, self._engine.longest):
                if held and samples + len(window) > self.at_once * SAMPLE_RATE:
                    yield from self._pool(held)
                    held, samples = [], 0
                held.append((number, window))
                samples += len(window)
        if held:
            yield from self._pool(held)

    def _pool(self, held: Sequence[tuple[int, Waveform]]) -> Iterator[tuple[int, Pooled]]:
        pooled = self._engine.pool([window for _, window in held])
        yield from zip((number for number, _ in held), pooled, strict=True)

    def _records(self, loaded: Loaded, vectors: Vectors) -> list[Record] | UtteranceError:
        utterance = loaded.utterance
        try:
            texts = packed(vectors, self.options.dtype)
        except UtteranceError as e:
            return e
        results = {
            "duration": utterance.duration or loaded.seconds,
            **place(utterance.index, self.options.shard_rows),
        }
        record = keys.with_results(utterance.record, "embed", results, loaded.data.flags)
        return [{**record, VECTORS: texts}]


def embed_stage(options: EmbedOptions, hardware: Hardware | None = None) -> Stage:
    """Return the embed stage, which writes to ``folder`` of its options and nowhere else.

    Raises `UsageError` for options that the engine lacks, `EngineMissing` without its model.
    """
    hardware = hardware or Hardware()
    info = registry.find("embed", options.engine)
    if options.dtype not in BYTES:
        raise UsageError(f"--dtype {options.dtype}: there are {', '.join(BYTES)}")
    require_taken(info, options.engine_options, options.model, hardware)
    registry.require_installed(info)
    model = _located(info, options, hardware)
    path = str(model) if model else None
    engine = configured(info, options.engine_options, path, hardware)
    sizes = batch_sizes(info, hardware)
    batch_audio = info.batch_audio or sizes.most * WINDOW_SECONDS
    folder = OutputFolder(Path(options.folder), options.dtype, options.shard_rows)
    return Stage(
        name="embed",
        processor=EmbedProcessor(
            options, engine, batch_audio, not info.batched, hardware.model_copies
        ),
        batch_audio=batch_audio,
        options=_pinned(engine, options, model),
        packages=info.packages,
        result_keys=("shard", "row"),
        batch_sizes=sizes if info.batched else EQUAL,
        worker_plan=plan_workers(info, hardware, model),
        conclude=folder.conclude,
        output=folder.index,
        holds=folder.holds,
        lacking=folder.lacking,
        grows=True,
    )


def _located(info: EngineInfo, options: EmbedOptions, hardware: Hardware) -> Path | None:
    """The folder or file of the model; None for an engine without one."""
    if not info.takes("model"):
        return None
    name = options.model or info.model
    if not name:
        raise UsageError(f"--model: needed by the engine {info.name}")
    if info.weights:
        return model_catalogue.locate(info, name, offline=hardware.offline)
    if not Path(name).exists():
        raise EngineMissing(f"--model {name}: no such file or folder")
    return Path(os.path.abspath(name))  # noqa: PTH100


def _pinned(engine: Engine, options: EmbedOptions, model: Path | None) -> dict[str, Any]:
    """The options that a resumed run must share. The folder may be moved."""
    info = engine.info
    name = options.model or info.model or None
    is_path = name and Path(name).expanduser().exists()
    pinned = asdict(replace(options, model=str(model) if model and is_path else name))
    for name in ("folder", "engine_options"):
        del pinned[name]
    stamps = dict(zip(STAMPS, (_model_stamp(info, model), _adapter_stamps(engine)), strict=True))
    given = {key: value for key, value in stamps.items() if value}
    return {**pinned, **registry.pinned(info, options.engine_options), **given}


def _model_stamp(info: EngineInfo, model: Path | None) -> str:
    if model is None or model.is_file():
        files = [model] if model else []
    else:
        files = [file for kind in info.weights or ("*",) for file in model.glob(kind)]
    return _stamp([file for file in files if file.is_file()], f"--model {model}") if files else ""


def _adapters(engine: Engine) -> Sequence[tuple[str, str]]:
    """The name and the path of each."""
    return engine.value("adapter") if engine.info.takes("adapter") else ()


def _adapter_stamps(engine: Engine) -> list[str]:
    found = []
    for name, path in _adapters(engine):
        named = f"--adapter {name}={path}"
        if not Path(path).is_file():
            raise EngineMissing(f"{named}: no such file; it takes a file in safetensors' format")
        found.append(f"{name} {_stamp([Path(path)], named)}")
    return found


def _stamp(files: Sequence[Path], named: str) -> str:
    try:
        return content_stamp(files)
    except OSError as e:
        raise EngineMissing(f"{named}: can't be read: {e.strerror}") from e
