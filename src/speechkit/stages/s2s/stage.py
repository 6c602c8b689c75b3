"""The s2s stage: speech to speech through discrete units, or either half alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechkit import keys
from speechkit.engines import model_catalogue, registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import DeviceUse, S2sEngine
from speechkit.engines.registry import Engine
from speechkit.engines.valid_items import map_valid
from speechkit.errors import (
    AudioTooShort,
    EngineMissing,
    UnitsInvalid,
    UsageError,
    UtteranceError,
)
from speechkit.io import audio_out
from speechkit.io.inputs import Inputs
from speechkit.io.model_files import nearby
from speechkit.io.unit_files import UnitInputs
from speechkit.records import Record, Units, Utterance
from speechkit.runtime.output_tree import (
    OutputTree,
    claim,
    require_distinct_names,
    survey_whole_manifest,
)
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio
from speechkit.runtime.worker_plan import WINDOW_SECONDS, Hardware, batch_sizes, plan_workers

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

FRAME_SECONDS = 0.02  # assumed length of a frame, for time limits only


_ENCODER_OPTIONS = ("model", "layer", "quantizer", "max_window", "compute_type")
_VOCODER_OPTIONS = ("vocoder", "vocoder_config", "speaker", "style")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """The conversion of units to audio files in ``folder``.

    ``durations``: "predict" or "keep"; None to predict if the vocoder can. ``audio_root``: folder
    whose tree is mirrored; None for the common folder of all input. ``form``: the audio format.
    """

    vocoder: str
    vocoder_config: str
    folder: str
    form: str = "wav"
    durations: str | None = None
    speaker: int | None = None
    style: int | None = None
    audio_root: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class S2sOptions:
    """Options of the s2s stage.

    ``model``, ``layer`` and ``quantizer``: for speech to units; None if the input is units.
    ``speech``: for units to speech; None if the output is units. ``keep_repeats``: a unit for every
    frame. ``max_window`` in seconds, 0 for the model's default. ``engine_options``: the options set
    among those of the engine's `EngineOptions`.
    """

    engine: str = registry.default("s2s")
    model: str | None = None
    layer: int | None = None
    quantizer: str | None = None
    speech: Speech | None = None
    keep_repeats: bool = False
    max_window: float = 0.0
    compute_type: str = "float32"
    channel: int | None = None
    track: str | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class S2sProcessor(Processor):
    """`Processor` of the s2s stage. ``model_copies``: as in `Hardware`."""

    options: S2sOptions
    engine: Engine
    model_copies: Path | None = None
    one_by_one: bool = False
    tree: OutputTree | None = None
    _engine: S2sEngine = field(init=False)

    @property
    def _takes_units(self) -> bool:
        return self.options.model is None

    def survey(self, inputs: Inputs, *, restart: bool) -> None:
        speech = self.options.speech
        if speech:
            audio = survey_whole_manifest(inputs)
            self.tree = OutputTree(
                speech.folder,
                speech.audio_root or audio.folder,
                f".{speech.form}",
                self._takes_units,
                audio.alike,
            )
            require_distinct_names(self.tree, inputs)
            pinned = pinned_options(self.engine.info, self.options)
            owner = {"tree": asdict(self.tree), "options": pinned}
            claim(self.tree.folder, "s2s", owner, restart=restart)

    def open(self) -> None:
        engine = self.engine
        for name in ("model", "vocoder"):
            if path := engine.value(name):
                copy = nearby(Path(path), self.model_copies)
                engine = engine.with_values(**{name: str(copy)})
        self._engine = engine.build()
        speech = self.options.speech
        if speech and speech.durations == "predict" and not self._engine.predicts_durations:
            raise UsageError("--durations predict: this vocoder can't; use keep")

    def load(self, utterance: Utterance) -> Loaded:
        if not self._takes_units:
            return load_audio(utterance, self.options.channel, self.options.track)
        units = utterance.record["units"]
        if not units:
            raise UnitsInvalid("the list of units is empty")
        durations = utterance.record.get("unit_durations") or [1] * len(units)
        frames = sum(durations)
        return Loaded(utterance, Units(tuple(units), tuple(durations)), frames * FRAME_SECONDS)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record] | UtteranceError]:
        units = list(map_valid(map(self._long_enough, batch), self._units))
        speech = map_valid(units, self._speech)
        for loaded, one, spoken in zip(batch, units, speech, strict=True):
            yield self._records(loaded, one, spoken)

    def device_use(self) -> DeviceUse | None:
        return self._engine.device_use()

    def _long_enough(self, loaded: Loaded) -> Loaded | UtteranceError:
        if self._takes_units or loaded.data.samples >= self._engine.shortest:
            return loaded
        return AudioTooShort(
            f"{loaded.data.samples} samples at 16 kHz, and the model's first frame needs "
            f"{self._engine.shortest}"
        )

    def _units(self, batch: Sequence[Loaded]) -> list[Units]:
        if self._takes_units:
            return [loaded.data for loaded in batch]
        return self._engine.encode([loaded.data.waveform for loaded in batch])

    def _speech(self, units: Sequence[Units]) -> Iterator[Waveform | UtteranceError | None]:
        """None for each where none is asked for."""
        speech = self.options.speech
        if not speech:
            return repeat(None, len(units))
        predict = {"predict": True, "keep": False, None: self._engine.predicts_durations}
        return self._engine.synthesise(units, predict=predict[speech.durations])

    def _records(
        self,
        loaded: Loaded,
        units: Units | UtteranceError,
        spoken: Waveform | UtteranceError | None,
    ) -> list[Record] | UtteranceError:
        if isinstance(units, UtteranceError):
            return units
        if isinstance(spoken, UtteranceError):
            return spoken
        results: Record = {}
        flags: Sequence[str] | None = None
        if not self._takes_units:
            written = _unit_per_frame(units) if self.options.keep_repeats else units
            results = {
                "duration": loaded.utterance.duration or loaded.seconds,
                "units": list(written.units),
                "unit_durations": list(written.durations),
            }
            flags = loaded.data.flags
        if spoken is not None:
            try:
                results |= self._written(loaded.utterance, spoken)
            except UtteranceError as e:
                return e
        return [keys.with_results(loaded.utterance.record, "s2s", results, flags)]

    def _written(self, utterance: Utterance, spoken: Waveform) -> Record:
        """Write a file of speech. Raises `NameImpossible`."""
        assert self.tree
        assert self.options.speech
        path = self.tree.path(utterance)
        rate = self._engine.sample_rate
        audio_out.write(path, spoken, rate, self.options.speech.form)
        return {"audio_filepath_out": str(path), "duration_out": round(len(spoken) / rate, 3)}


def _unit_per_frame(units: Units) -> Units:
    pairs = zip(units.units, units.durations, strict=True)
    frames = tuple(unit for unit, duration in pairs for _ in range(duration))
    return replace(units, units=frames, durations=(1,) * len(frames))


def s2s_stage(options: S2sOptions, hardware: Hardware | None = None) -> Stage:
    """Return the s2s stage.

    Raises `UsageError` for options that the engine lacks, `EngineMissing` without its files.
    """
    hardware = hardware or Hardware()
    engine, options = prepared(options, hardware)
    info = engine.info
    speech = options.speech
    sizes = batch_sizes(info, hardware)
    weights = options.model or (speech.vocoder if speech else None)
    return Stage(
        name="s2s",
        processor=S2sProcessor(options, engine, hardware.model_copies),
        batch_audio=sizes.most * WINDOW_SECONDS,
        options=pinned_options(info, options),
        packages=info.packages,
        result_keys=("units",) if speech is None else ("audio_filepath_out",),
        batch_sizes=sizes,
        worker_plan=plan_workers(info, hardware, Path(weights) if weights else None),
        scratch=Path(speech.folder) if speech else None,
        inputs=UnitInputs if options.model is None else Inputs,
    )


def pinned_options(info: EngineInfo, options: S2sOptions) -> dict[str, Any]:
    """The options that a resumed run must share."""
    pinned = asdict(options)
    del pinned["engine_options"]
    # The identity of a run has this key with every engine.
    return {**pinned, "allow_reinit": False, **registry.pinned(info, options.engine_options)}


def prepared(options: S2sOptions, hardware: Hardware) -> tuple[Engine, S2sOptions]:
    """Return the engine, and the options with the path of every file.

    Raises `UsageError` for options that the engine lacks, `EngineMissing` without its files.
    """
    info = registry.find("s2s", options.engine)
    registry.require_taken(info, options.engine_options)
    registry.require_installed(info)
    if options.model is not None:
        options = replace(options, model=_located(options.model, info, hardware.offline))
    for flag, name in _files(options):
        if name and not Path(name).is_file():
            raise EngineMissing(f"--{flag} {name}: no such file")
    values: dict[str, Any] = {
        **{name: getattr(options, name) for name in _ENCODER_OPTIONS},
        **{name: getattr(options.speech, name, None) for name in _VOCODER_OPTIONS},
        "device": hardware.device,
        "batch_size": hardware.batch_size,
        **options.engine_options,
    }
    return registry.configure(info, values), options


def _files(options: S2sOptions) -> Iterator[tuple[str, str | None]]:
    yield "quantizer", options.quantizer
    if options.speech:
        yield "vocoder", options.speech.vocoder
        yield "vocoder-config", options.speech.vocoder_config


def _located(model: str, info: EngineInfo, offline: bool) -> str:
    path = Path(model).expanduser()
    if path.is_file():
        return os.path.abspath(path)  # noqa: PTH100
    if not info.weights:
        raise EngineMissing(f"--model {model}: no such file; {info.name} takes a checkpoint's path")
    return str(model_catalogue.locate(info, model, offline=offline))
