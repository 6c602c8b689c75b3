"""What validate measures, and the rules by which values become issues and warnings.

These tables are the only place of names, units and default thresholds: the options of the command,
its output, the reports and `docs/validate.md` are made from them or tested against them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Limit = float | bool | str | None
BELOW, ABOVE, IS = "below", "above", "is"
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    BELOW: operator.lt,
    ABOVE: operator.gt,
    IS: operator.eq,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measured value: a key of `measures`. ``unit``: "" for a switch or a text.

    ``digits``: the decimals to which the value is rounded, None for a value that isn't a float.
    """

    name: str
    meaning: str
    unit: str = ""
    digits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A finding: the ``name`` in `issues` if it is ``blocking``, otherwise in `warnings`.

    It holds where the value of ``measure`` (a measured value, the ``duration``, or a flag) is
    ``below`` or ``above`` the threshold, or ``is`` it; a value of None could not be measured, and
    gives no finding. ``threshold``: the default; None for a limit that is off until its option sets
    one, and for what `across` finds. ``section``: of the help. ``from_seconds``: a shorter
    utterance doesn't tell. ``requires``: a finding without which this one doesn't hold. ``hides``:
    findings that follow from this one, and are left out beside it.
    """

    name: str
    meaning: str
    measure: str
    threshold: Limit
    comparison: str = IS
    blocking: bool = False
    section: str = ""
    from_seconds: float = 0.0
    requires: str = ""
    hides: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The name of the threshold in options: ``min_duration``; "" for a rule without one."""
        prefix = {BELOW: "min_", ABOVE: "max_"}.get(self.comparison)
        return f"{prefix}{self.measure}" if prefix else ""

    def holds(self, values: Mapping[str, Any], thresholds: Mapping[str, Limit]) -> bool:
        """Whether it does, as `findings` is given them, without regard to other findings."""
        value, limit = values.get(self.measure), thresholds.get(self.option, self.threshold)
        is_short = (values.get("duration") or 0.0) < self.from_seconds
        if is_short or value is None or limit is None:
            return False
        return _COMPARISONS[self.comparison](value, limit)


MEASURES = (
    Measure(
        name="fault",
        meaning="what keeps the file from being read, or all of it: "
        "missing, empty, truncated, not_finite, out_of_range or unreadable",
    ),
    Measure(name="message", meaning="the same as a sentence"),
    Measure(name="nonfinite", meaning="NaN and infinite samples, up to where reading stopped"),
    Measure(name="sample_rate", meaning="sample rate of the file", unit="Hz"),
    Measure(name="channels", meaning="number of channels of the file"),
    Measure(
        name="bandwidth",
        meaning="frequency above which there is nothing; half the sample rate where all is used",
        unit="Hz",
        digits=0,
    ),
    Measure(
        name="bandwidth_used",
        meaning="the bandwidth as a share of half the sample rate",
        unit="0 to 1",
        digits=3,
    ),
    Measure(
        name="channel_difference",
        meaning="level of the difference between the channels that are most alike, "
        "relative to the louder one",
        unit="dB",
        digits=1,
    ),
    Measure(
        name="channel_balance",
        meaning="level of the quietest channel relative to the loudest",
        unit="dB",
        digits=1,
    ),
    Measure(name="peak", meaning="largest absolute sample", unit="dBFS", digits=2),
    Measure(
        name="loudness",
        meaning="integrated loudness by ITU-R BS.1770; null below its gate of -70 LUFS",
        unit="LUFS",
        digits=2,
    ),
    Measure(
        name="dc_offset",
        meaning="largest absolute mean of the samples of 10 s, of all channels",
        unit="% of full scale",
        digits=3,
    ),
    Measure(
        name="clipping",
        meaning="samples in flat tops, of the channel with most",
        unit="%",
        digits=4,
    ),
    Measure(
        name="clipping_at",
        meaning="where the second with most of them begins to be flat",
        unit="seconds",
        digits=3,
    ),
    Measure(
        name="hum",
        meaning="level of mains hum, 50 or 60 Hz and harmonics, relative to all of the sound; "
        "null where no lines stand out, or the file is shorter than 1 s",
        unit="dB",
        digits=1,
    ),
    Measure(name="hum_frequency", meaning="frequency of the hum: 50 or 60", unit="Hz"),
    Measure(
        name="dropouts",
        meaning="stretches of 1 ms to 0.2 s that are zero, or stay at one value, with sound right "
        "before and after; up to 1 s of zeros where loud sound breaks off",
    ),
    Measure(name="dropouts_at", meaning="where the first one is", unit="seconds", digits=3),
    Measure(
        name="silence",
        meaning="share of frames of 20 ms that are 40 dB below the mean level, or below -80 dBFS",
        unit="0 to 1",
        digits=3,
    ),
    Measure(name="speech", meaning="speech found by VAD", unit="seconds", digits=2),
    Measure(
        name="speech_share", meaning="speech as a share of the duration", unit="0 to 1", digits=3
    ),
    Measure(
        name="snr",
        meaning="level of the speech above the noise between it, hum left out; without pauses, "
        "above the quietest frames; null for less than 0.2 s of speech, or 1 s in all",
        unit="dB",
        digits=1,
    ),
    Measure(
        name="fingerprint",
        meaning="BLAKE2b of the decoded samples in 16 bits: equal for the same audio",
    ),
    Measure(
        name="mos_signal",
        meaning="quality of the speech as listeners would rate it, by DNSMOS P.835, with --mos",
        unit="1 to 5",
        digits=3,
    ),
    Measure(
        name="mos_background",
        meaning="how little the background disturbs, likewise",
        unit="1 to 5",
        digits=3,
    ),
    Measure(name="mos_overall", meaning="overall quality, likewise", unit="1 to 5", digits=3),
    Measure(name="mos_p808", meaning="overall quality by DNSMOS P.808", unit="1 to 5", digits=3),
    Measure(name="letters", meaning="letters of the text; digits and ideographs count for several"),
    Measure(
        name="letters_per_second",
        meaning="letters of the text per second of speech, which counts as 0.5 s at least",
        unit="per second",
        digits=1,
    ),
    Measure(name="tokens", meaning="tokens of the text as a label, with the model's own around it"),
    Measure(name="markup", meaning="tags, character references and control characters in the text"),
    Measure(
        name="text_agreement",
        meaning="share of letters on which `text` and `pred_text` agree",
        unit="0 to 1",
        digits=3,
    ),
    Measure(name="duplicate_of", meaning="earlier line with the same audio"),
    Measure(name="speaker_of", meaning="earlier line of another split with the same speaker"),
    Measure(name="text_belongs_to", meaning="earlier line whose audio says this text"),
    Measure(name="text_found_at", meaning="earlier line with the text that this audio says"),
)

#: Units of the measures, and of the other value that rules are about.
UNITS: Mapping[str, str] = {"duration": "seconds"} | {one.name: one.unit for one in MEASURES}

#: Sections of the help.
FILE, DEFECTS, SPEECH, TEXT = (
    f"Thresholds: {title}" for title in ("file", "defects", "speech", "text")
)

RULES = (
    Rule(
        name="missing",
        meaning="there is no such file",
        measure="fault",
        threshold="missing",
        blocking=True,
    ),
    Rule(
        name="unreadable",
        meaning="the file is no audio, or is corrupt",
        measure="fault",
        threshold="unreadable",
        blocking=True,
    ),
    Rule(
        name="empty",
        meaning="the file holds no samples",
        measure="fault",
        threshold="empty",
        blocking=True,
    ),
    Rule(
        name="truncated",
        meaning="the file ends before its header or the manifest says",
        measure="fault",
        threshold="truncated",
        blocking=True,
        hides=("header_disagrees",),
    ),
    Rule(
        name="not_finite",
        meaning="samples are NaN or infinite",
        measure="fault",
        threshold="not_finite",
        blocking=True,
    ),
    Rule(
        name="out_of_range",
        meaning="samples are more than 20 dB above full scale, as integers stored as floats",
        measure="fault",
        threshold="out_of_range",
        blocking=True,
    ),
    Rule(
        name="damaged",
        meaning="parts of the file can't be decoded, and became silence",
        measure="damaged",
        threshold=True,
        blocking=True,
    ),
    Rule(
        name="header_disagrees",
        meaning="the header states a length that differs from that of the audio",
        measure="header_disagrees",
        threshold=True,
    ),
    Rule(
        name="too_short",
        meaning="the utterance is too short",
        measure="duration",
        threshold=0.1,
        comparison=BELOW,
        blocking=True,
        section=FILE,
    ),
    Rule(
        name="too_long",
        meaning="the utterance is too long",
        measure="duration",
        threshold=None,
        comparison=ABOVE,
        blocking=True,
        section=FILE,
    ),
    Rule(
        name="low_sample_rate",
        meaning="the sample rate is too low for speech",
        measure="sample_rate",
        threshold=8000,
        comparison=BELOW,
        section=FILE,
    ),
    Rule(
        name="low_pass",
        meaning="the upper part of the spectrum is empty, as after a codec or a low-pass",
        measure="bandwidth_used",
        threshold=0.85,
        comparison=BELOW,
        section=FILE,
        from_seconds=0.2,
    ),
    Rule(
        name="narrow_band",
        meaning="the audio has the bandwidth of a telephone at a higher sample rate",
        measure="bandwidth",
        threshold=5000,
        comparison=BELOW,
        blocking=True,
        section=FILE,
        requires="low_pass",
        hides=("low_pass",),
    ),
    Rule(
        name="channels_cancel",
        meaning="the channels cancel each other when they are mixed",
        measure="channels_cancel",
        threshold=True,
        blocking=True,
    ),
    Rule(
        name="channels_identical",
        meaning="two channels are the same",
        measure="channel_difference",
        threshold=-60.0,
        comparison=BELOW,
        section=FILE,
    ),
    Rule(
        name="channel_silent",
        meaning="a channel is silent beside the others",
        measure="channel_balance",
        threshold=-50.0,
        comparison=BELOW,
        section=FILE,
    ),
    Rule(
        name="clipped",
        meaning="peaks are cut off, at full scale or below",
        measure="clipping",
        threshold=0.01,
        comparison=ABOVE,
        blocking=True,
        section=DEFECTS,
        hides=("level_high",),
    ),
    Rule(
        name="dc_offset",
        meaning="the samples aren't centred on zero",
        measure="dc_offset",
        threshold=1.5,
        comparison=ABOVE,
        section=DEFECTS,
        from_seconds=0.2,
    ),
    Rule(
        name="hum",
        meaning="there is mains hum",
        measure="hum",
        threshold=-30.0,
        comparison=ABOVE,
        section=DEFECTS,
    ),
    Rule(
        name="dropped_samples",
        meaning="samples are missing amid sound, and zeros or the last one stand in their place",
        measure="dropouts",
        threshold=0,
        comparison=ABOVE,
        blocking=True,
        section=DEFECTS,
    ),
    Rule(
        name="level_low",
        meaning="the level is too low",
        measure="loudness",
        threshold=-50.0,
        comparison=BELOW,
        section=DEFECTS,
        from_seconds=0.1,
    ),
    Rule(
        name="level_high",
        meaning="the level is too high",
        measure="loudness",
        threshold=-8.0,
        comparison=ABOVE,
        section=DEFECTS,
        from_seconds=0.1,
    ),
    Rule(
        name="mostly_silence",
        meaning="almost all of the utterance is silence",
        measure="silence",
        threshold=0.8,
        comparison=ABOVE,
        blocking=True,
        section=SPEECH,
        from_seconds=0.1,
        hides=("level_low",),
    ),
    Rule(
        name="no_speech",
        meaning="there is no speech in the utterance",
        measure="speech",
        threshold=0.2,
        comparison=BELOW,
        blocking=True,
        section=SPEECH,
        from_seconds=1.0,
        hides=("low_snr", "fast_text"),
    ),
    Rule(
        name="low_snr",
        meaning="noise is almost as loud as the speech",
        measure="snr",
        threshold=8.0,
        comparison=BELOW,
        section=SPEECH,
    ),
    Rule(
        name="low_mos",
        meaning="listeners would rate the quality as poor; with --mos",
        measure="mos_overall",
        threshold=2.0,
        comparison=BELOW,
        section=SPEECH,
    ),
    Rule(
        name="no_text",
        meaning="the text is empty",
        measure="letters",
        threshold=1,
        comparison=BELOW,
        blocking=True,
        section=TEXT,
        hides=("wrong_text",),
    ),
    Rule(
        name="fast_text",
        meaning="there is too much text to be said in the time",
        measure="letters_per_second",
        threshold=33.0,
        comparison=ABOVE,
        blocking=True,
        section=TEXT,
    ),
    Rule(
        name="slow_text",
        meaning="there is too little text for the speech",
        measure="letters_per_second",
        threshold=1.5,
        comparison=BELOW,
        blocking=True,
        section=TEXT,
        from_seconds=2.0,
    ),
    Rule(
        name="too_many_tokens",
        meaning="the text is too long to be a label of the model",
        measure="tokens",
        threshold=448,
        comparison=ABOVE,
        blocking=True,
        section=TEXT,
    ),
    Rule(
        name="markup",
        meaning="the text holds what nobody says: tags, character references, control characters",
        measure="markup",
        threshold=0,
        comparison=ABOVE,
        section=TEXT,
    ),
    Rule(
        name="wrong_text",
        meaning="the text is not what was recognised in the audio",
        measure="text_agreement",
        threshold=0.65,
        comparison=BELOW,
        blocking=True,
        section=TEXT,
    ),
    Rule(
        name="duplicate_line",
        meaning="an earlier line has the same file with the same times",
        measure="duplicate_of",
        threshold=None,
        blocking=True,
    ),
    Rule(
        name="duplicate_audio",
        meaning="an earlier line has the same audio under another name",
        measure="duplicate_of",
        threshold=None,
        blocking=True,
    ),
    Rule(
        name="leaked_audio",
        meaning="an earlier line of another split has the same audio",
        measure="duplicate_of",
        threshold=None,
        blocking=True,
    ),
    Rule(
        name="leaked_speaker",
        meaning="an earlier line of another split has the same speaker",
        measure="speaker_of",
        threshold=None,
        blocking=True,
    ),
)

THRESHOLDS: Mapping[str, Limit] = {rule.option: rule.threshold for rule in RULES if rule.option}


def findings(
    values: Mapping[str, Any], thresholds: Mapping[str, Limit]
) -> tuple[list[str], list[str]]:
    """The names of the issues and of the warnings, both sorted.

    ``values``: measures, the ``duration`` and flags that are set, by name. ``thresholds``: those
    that differ from the defaults, by option.
    """
    held = [rule for rule in RULES if rule.holds(values, thresholds)]
    names = {rule.name for rule in held}
    hidden = set[str]().union(*(rule.hides for rule in held))
    shown = [rule for rule in held if rule.name not in hidden and rule.requires in {"", *names}]
    return (
        sorted(rule.name for rule in shown if rule.blocking),
        sorted(rule.name for rule in shown if not rule.blocking),
    )


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The measures in the order of the table, rounded; infinite ones as None."""
    line: dict[str, Any] = {}
    for measure in MEASURES:
        if measure.name in values:
            value = values[measure.name]
            if measure.digits is not None and value is not None:
                value = round(float(value), measure.digits) if math.isfinite(value) else None
            line[measure.name] = value
    return line


def infinite(values: Mapping[str, Any]) -> dict[str, float]:
    """The measures that are infinite, which `rounded` leaves out: levels of silence."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, float) and math.isinf(value)
    }
