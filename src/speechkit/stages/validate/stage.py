"""Validation: what is wrong with an utterance, and the measured values that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from speechkit import keys
from speechkit.engines import registry
from speechkit.engines.protocols import VadEngine
from speechkit.engines.registry import Engine
from speechkit.errors import (
    AudioEmpty,
    AudioInvalid,
    AudioNotFound,
    AudioTruncated,
    AudioUnreadable,
    UtteranceError,
)
from speechkit.io.audio import Audio
from speechkit.records import Record, Utterance
from speechkit.runtime.stage import Loaded, Processor, Stage, load_audio
from speechkit.stages.vad.speech_frames import probabilities
from speechkit.stages.validate.across import across
from speechkit.stages.validate.measures import Measures
from speechkit.stages.validate.rules import THRESHOLDS, Limit, findings, infinite, rounded
from speechkit.stages.validate.speech import NOT_HEARD, speech_measures
from speechkit.stages.validate.splits import DataSet
from speechkit.stages.validate.texts import read_tokenizer, text_measures

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from speechkit.engines.dnsmos import Dnsmos

FAULTS: Mapping[type[UtteranceError], str] = {
    AudioNotFound: "missing",
    AudioEmpty: "empty",
    AudioTruncated: "truncated",
    AudioUnreadable: "unreadable",
    AudioInvalid: "unreadable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateOptions:
    """Options of the validate stage.

    ``engine``: that of VAD. ``thresholds``: by option, those that differ from `rules.THRESHOLDS`.
    ``mos``: rate the quality by DNSMOS. ``tokenizer``: as `read_tokenizer` takes it.
    ``require_text``: a line without text is an issue.
    """

    engine: str = "silero"
    thresholds: Mapping[str, Limit] = field(default_factory=dict)
    channel: int | None = None
    track: str | None = None
    mos: bool = False
    tokenizer: str | None = None
    require_text: bool = False
    engine_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """``audio``: None of a file that can't be read. ``measures``: those that need no engine."""

    audio: Audio | None
    measures: Mapping[str, Any]

    @property
    def heard(self) -> Audio | None:
        """The audio, unless it is shorter than half a millisecond."""
        return self.audio if self.audio and self.audio.seconds else None


@dataclass(slots=True)
class ValidateProcessor(Processor):
    """`Processor` of the validate stage."""

    options: ValidateOptions
    engine: Engine
    one_by_one: bool
    _engine: VadEngine = field(init=False)
    _tokenizer: Tokenizer | None = field(init=False, default=None)
    _dnsmos: Dnsmos | None = field(init=False, default=None)

    def open(self) -> None:
        self._engine = self.engine.build()
        if self.options.mos:
            from speechkit.engines.dnsmos import Dnsmos

            self._dnsmos = Dnsmos()
        if self.options.tokenizer:
            self._tokenizer = read_tokenizer(self.options.tokenizer)

    def load(self, utterance: Utterance) -> Loaded:
        """A file that can't be read is a finding, and no error."""
        passes: list[Measures] = []

        def observe(rate: int) -> Measures:
            passes.append(Measures(rate, utterance.audio))
            return passes[-1]

        try:
            audio = load_audio(utterance, self.options.channel, self.options.track, observe).data
        except tuple(FAULTS) as error:
            return Loaded(utterance, Measured(None, _fault(error, passes)), 0.0)
        seen = audio.observer
        assert isinstance(seen, Measures)
        measures = seen.results()
        if audio.is_cut_short:
            message = f"{utterance.audio}: ends before its header says"
            measures |= {"fault": "truncated", "message": message}
        seconds = audio.seconds or round(seen.frames / seen.rate, 6)
        return Loaded(utterance, Measured(audio, measures), seconds)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        recordings = [audio for loaded in batch if (audio := loaded.data.heard)]
        frames = iter(probabilities(self._engine, recordings) if recordings else [])
        for loaded in batch:
            audio, measures = loaded.data.audio, dict(loaded.data.measures)
            if heard := loaded.data.heard:
                hop = self._engine.hop
                measures |= speech_measures(heard, next(frames), hop, measures.get("hum"))
                if self._dnsmos:
                    measures |= self._dnsmos.ratings(heard.stretches())
            elif audio:
                measures |= NOT_HEARD
            spoken = (measures["speech"] or loaded.seconds) if audio else None
            measures |= self._text_measures(loaded.utterance.record, spoken)
            yield [self._record(loaded, measures, audio.flags if audio else ())]

    def _text_measures(self, record: Record, spoken: float | None) -> Record:
        required = self.options.require_text
        return text_measures(record, spoken, self._tokenizer, require_text=required)

    def _record(self, loaded: Loaded, measures: dict[str, Any], flags: tuple[str, ...]) -> Record:
        utterance = loaded.utterance
        duration = utterance.duration or loaded.seconds
        values = rounded(measures)
        judged = {**values, **infinite(measures), "duration": loaded.seconds or None}
        judged |= dict.fromkeys(flags, True)
        issues, warnings = findings(judged, self.options.thresholds)
        results: Record = {"duration": duration} if duration else {}
        results |= {
            "valid": not issues,
            "issues": issues,
            "warnings": warnings,
            "measures": values,
        }
        return keys.with_results(utterance.record, "validate", results, flags)


def validate_stage(options: ValidateOptions) -> Stage:
    """Return the validate stage.

    Raises `UsageError` for options that the engine lacks, and `EngineMissing` for DNSMOS without
    its weights.
    """
    if options.mos:
        from speechkit.engines.dnsmos import require_weights

        require_weights()
    if options.tokenizer:
        read_tokenizer(options.tokenizer)
    info = registry.find("vad", options.engine)
    engine = registry.configure(info, options.engine_options)
    return Stage(
        name="validate",
        processor=ValidateProcessor(options, engine, one_by_one=not info.batched),
        batch_audio=info.batch_audio,
        options={
            "engine": options.engine,
            "channel": options.channel,
            "track": options.track,
            "mos": options.mos,
            "tokenizer": options.tokenizer,
            "require_text": options.require_text,
            **THRESHOLDS,
            **options.thresholds,
            **registry.pinned(info, options.engine_options),
        },
        packages=(*info.packages, "speechmos") if options.mos else info.packages,
        result_keys=("valid", "issues", "warnings", "measures"),
        error_keys={"valid": False, "issues": ["error"], "warnings": []},
        inputs=DataSet,
        conclude=across,
    )


def _fault(error: UtteranceError, passes: Sequence[Measures]) -> dict[str, Any]:
    """The measures of a file that can't be read, as far as its last decoder came."""
    seen: dict[str, Any] = passes[-1].results() if passes else {}
    known: dict[str, Any] = {
        name: seen[name] for name in ("sample_rate", "channels") if name in seen
    }
    found = seen if "fault" in seen else known | {"fault": FAULTS[type(error)]}
    return {**found, "message": str(error)}
