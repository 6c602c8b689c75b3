"""Speech to speech by way of discrete units, and either half alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechkit import keys
from speechkit.engines import catalogue, registry
from speechkit.engines.protocols import DeviceUse, S2sEngine
from speechkit.engines.registry import EngineInfo
from speechkit.errors import AudioTooShort, EngineMissing, UnitsInvalid, UsageError
from speechkit.io import audio_out
from speechkit.io.inputs import Inputs
from speechkit.io.model_files import nearby
from speechkit.io.units import UnitInputs
from speechkit.records import Record, Units, Utterance
from speechkit.runtime.output_tree import OutputTree, claim, require_own_names, survey
from speechkit.runtime.placement import WINDOW_SECONDS, Hardware, batch_windows, place
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

FRAME_SECONDS = 0.02  # about what a unit without a stated duration lasts, for time limits alone


@dataclass(frozen=True, slots=True)
class Speech:
    """How units become audio files. ``durations``: "predict" or "keep", None: predicted where the
    vocoder can. ``audio_root``: the folder whose tree is mirrored, None: that of all input."""

    vocoder: str
    vocoder_config: str
    folder: str
    form: str = "wav"
    durations: str | None = None
    speaker: int | None = None
    style: int | None = None
    audio_root: str | None = None


@dataclass(frozen=True, slots=True)
class S2sOptions:
    """``model``, ``layer`` and ``quantizer`` make units; None where units come in. ``speech`` is
    None where units go out. ``keep_repeats``: units one a frame."""

    engine: str = "transformers"
    model: str | None = None
    layer: int | None = None
    quantizer: str | None = None
    speech: Speech | None = None
    keep_repeats: bool = False
    max_window: float = 0.0
    compute_type: str = "float32"
    allow_reinit: bool = False
    channel: int | None = None
    track: str | None = None


@dataclass(slots=True)
class S2sProcessor(Processor):
    """`Processor` of the s2s stage. ``engine``: what the engine is built of. ``local``: where
    copies of models are wanted, as in `Hardware`."""

    options: S2sOptions
    engine: Mapping[str, Any]
    local: Path | None = None
    one_by_one: bool = False
    tree: OutputTree | None = None
    _engine: S2sEngine = field(init=False)

    @property
    def _takes_units(self) -> bool:
        return self.options.model is None

    def survey(self, inputs: Inputs, *, restart: bool) -> None:
        speech = self.options.speech
        if speech:
            audio = survey(inputs)
            self.tree = OutputTree(
                speech.folder,
                speech.audio_root or audio.folder,
                f".{speech.form}",
                self._takes_units,
                audio.alike,
            )
            require_own_names(self.tree, inputs)
            owner = {"tree": asdict(self.tree), "options": asdict(self.options)}
            claim(self.tree.folder, "s2s", owner, restart=restart)

    def open(self) -> None:
        own = dict(self.engine)
        for name in ("model", "vocoder"):
            if own.get(name):
                own[name] = str(nearby(Path(own[name]), self.local))
        self._engine = registry.create("s2s", self.options.engine, **own)
        speech = self.options.speech
        if speech and speech.durations == "predict" and not self._engine.predicts_durations:
            raise UsageError("--durations predict: this vocoder predicts none; take keep")

    def load(self, utterance: Utterance) -> Loaded:
        if not self._takes_units:
            return load_audio(utterance, self.options.channel, self.options.track)
        units = utterance.record["units"]
        if not units:
            raise UnitsInvalid("no units at all")
        durations = utterance.record.get("unit_durations") or [1] * len(units)
        frames = sum(durations)
        return Loaded(utterance, Units(tuple(units), tuple(durations)), frames * FRAME_SECONDS)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        found = self._units(batch)
        for loaded, units in zip(batch, found, strict=True):
            if units is None:
                raise AudioTooShort(
                    f"{loaded.data.samples} samples at 16 kHz, and the model's first frame takes "
                    f"{self._engine.shortest}"
                )
            yield [self._line(loaded, units)]

    def device_use(self) -> DeviceUse | None:
        return self._engine.device_use()

    def _units(self, batch: Sequence[Loaded]) -> Iterator[Units | None]:
        """None for what is too short to have any."""
        if self._takes_units:
            yield from (loaded.data for loaded in batch)
            return
        long_enough = [loaded.data.samples >= self._engine.shortest for loaded in batch]
        waveforms = [
            loaded.data.waveform for loaded, can in zip(batch, long_enough, strict=True) if can
        ]
        encoded = iter(self._engine.encode(waveforms) if waveforms else [])
        yield from (next(encoded) if can else None for can in long_enough)

    def _line(self, loaded: Loaded, units: Units) -> Record:
        results: Record = {}
        flags: Sequence[str] | None = None
        if not self._takes_units:
            shown = _one_a_frame(units) if self.options.keep_repeats else units
            results = {
                "duration": loaded.utterance.duration or loaded.seconds,
                "units": list(shown.units),
                "unit_durations": list(shown.durations),
            }
            flags = loaded.data.flags
        if self.options.speech:
            assert self.tree
            path = self.tree.path(loaded.utterance)
            speech = self._spoken(units, self.options.speech)
            rate = self._engine.sample_rate
            audio_out.write(path, speech, rate, self.options.speech.form)
            results["audio_filepath_out"] = str(path)
            results["duration_out"] = round(len(speech) / rate, 3)
        return keys.renewed(loaded.utterance.record, "s2s", results, flags)

    def _spoken(self, units: Units, speech: Speech) -> Waveform:
        predict = {"predict": True, "keep": False, None: self._engine.predicts_durations}
        return self._engine.synthesise(units, predict=predict[speech.durations])


def _one_a_frame(units: Units) -> Units:
    pairs = zip(units.units, units.durations, strict=True)
    frames = tuple(unit for unit, duration in pairs for _ in range(duration))
    return replace(units, units=frames, durations=(1,) * len(frames))


def s2s_stage(options: S2sOptions, hardware: Hardware | None = None) -> Stage:
    """Raises `UsageError` for options that the engine lacks, `EngineMissing` without its files."""
    hardware = hardware or Hardware()
    info, options, built_of = prepared(options, hardware)
    speech = options.speech
    windows = batch_windows(info, hardware)
    weights = options.model or (speech.vocoder if speech else None)
    return Stage(
        name="s2s",
        processor=S2sProcessor(options, built_of, hardware.local),
        batch_audio=windows * WINDOW_SECONDS,
        options=asdict(options),
        packages=info.packages,
        result_keys=("units",) if speech is None else ("audio_filepath_out",),
        batch_utterances=windows,
        placement=place(info, hardware, Path(weights) if weights else None),
        scratch=Path(speech.folder) if speech else None,
        inputs=UnitInputs if options.model is None else Inputs,
    )


def prepared(
    options: S2sOptions, hardware: Hardware
) -> tuple[EngineInfo, S2sOptions, dict[str, Any]]:
    """The engine, the options with every file's place, and what the engine is built of."""
    info = registry.find("s2s", options.engine)
    if options.allow_reinit and "allow_reinit" not in info.options:
        raise UsageError(f"--allow-reinit: not for the engine {info.name}; for transformers")
    registry.require_installed(info)
    if options.model is not None:
        options = replace(options, model=_located(options.model, info, hardware.offline))
    for flag, name in _files(options):
        if name and not Path(name).is_file():
            raise EngineMissing(f"--{flag} {name}: no such file")
    speech = options.speech
    built_of: dict[str, Any] = {
        "model": options.model,
        "layer": options.layer,
        "quantizer": options.quantizer,
        "max_window": options.max_window,
        "compute_type": options.compute_type,
        "device": hardware.device,
        "batch_size": hardware.batch_size,
    }
    if options.allow_reinit:
        built_of["allow_reinit"] = True
    if speech:
        own = ("vocoder", "vocoder_config", "speaker", "style")
        built_of |= {name: getattr(speech, name) for name in own}
    return info, options, built_of


def _files(options: S2sOptions) -> Iterator[tuple[str, str | None]]:
    yield "quantizer", options.quantizer
    if options.speech:
        yield "vocoder", options.speech.vocoder
        yield "vocoder-config", options.speech.vocoder_config


def _located(model: str, info: EngineInfo, offline: bool) -> str:
    path = Path(model).expanduser()
    if path.is_file():
        return os.path.abspath(path)  # noqa: PTH100
    if info.name != "transformers":
        raise EngineMissing(f"--model {model}: no such file; {info.name} takes fairseq's .pt")
    return str(catalogue.locate(info, model, offline=offline))
