"""The keys of a manifest line: the stages that set them, their meaning, their fate in a slice.

All code reads this table: stages renew the keys they set, `vad --emit segments` cuts lines, input
is checked, results are merged, and `scripts/keys_reference.py` writes the reference page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

STAGES = ("manifest", "vad", "asr", "s2s", "validate", "embed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a line, of a segment or of a word.

    ``kind``: its JSON type. ``unit``: the unit of its numbers. ``set_by``: the stages that write it
    on the line of an utterance. ``stated``: the input may state it, and a stage without a new value
    keeps the input's. ``of_the_whole``: it describes a whole recording, and a slice must not carry
    it. ``of_the_slice``: each slice gets a new value. ``judged``: a value of another kind is
    refused before any work starts.
    """

    name: str
    kind: str
    meaning: str
    unit: str = ""
    set_by: tuple[str, ...] = ()
    stated: bool = False
    of_the_whole: bool = False
    of_the_slice: bool = False
    judged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A doubt that the key ``flags`` names. ``set_by`` and ``of_the_whole`` as in `Key`."""

    name: str
    meaning: str
    set_by: tuple[str, ...]
    of_the_whole: bool = False


#: The keys of a line, in the order of the reference page.
LINE = (
    Key(
        name="audio_filepath",
        kind="path",
        meaning="path of the audio file, absolute in every output",
        stated=True,
        judged=True,
    ),
    Key(
        name="offset",
        kind="seconds",
        unit="seconds",
        meaning="beginning of the utterance in the file; 0 if absent",
        stated=True,
        of_the_slice=True,
        judged=True,
    ),
    Key(
        name="duration",
        kind="seconds",
        unit="seconds",
        meaning="length of the utterance; to the end of the file if absent",
        set_by=STAGES,
        stated=True,
        of_the_slice=True,
        judged=True,
    ),
    Key(
        name="id",
        kind="identity",
        meaning="identity of the utterance; without it, path, offset and duration are the identity",
        stated=True,
        of_the_slice=True,
        judged=True,
    ),
    Key(
        name="parent",
        kind="string",
        meaning="recording that a slice was cut from: its `id`, or else its path",
        of_the_slice=True,
    ),
    Key(
        name="speaker",
        kind="string",
        meaning="speaker of the utterance, passed on",
        stated=True,
    ),
    Key(
        name="split",
        kind="string",
        meaning="part of the data set, such as `train` or `test`, passed on; "
        "`validate` adds it where the names of several manifests state it",
        stated=True,
    ),
    Key(
        name="text",
        kind="string",
        meaning="reference transcript",
        stated=True,
        of_the_whole=True,
        judged=True,
    ),
    Key(
        name="lang",
        kind="string",
        meaning="language, as a code such as `en`",
        set_by=("asr",),
        stated=True,
        judged=True,
    ),
    Key(
        name="sample_rate",
        kind="integer",
        unit="Hz",
        meaning="sample rate of the file",
        set_by=("manifest",),
    ),
    Key(
        name="channels",
        kind="integer",
        meaning="number of channels of the file",
        set_by=("manifest",),
    ),
    Key(
        name="segments",
        kind="segments",
        meaning="stretches of speech in order of time, see below",
        set_by=("vad", "asr"),
        of_the_whole=True,
        judged=True,
    ),
    Key(
        name="speech_duration",
        kind="seconds",
        unit="seconds",
        meaning="total length of the stretches that `vad` found",
        set_by=("vad",),
        of_the_whole=True,
    ),
    Key(
        name="frame_hop",
        kind="seconds",
        unit="seconds",
        meaning="distance between frames, with `--probabilities`",
        set_by=("vad",),
        of_the_whole=True,
    ),
    Key(
        name="frame_probabilities",
        kind="numbers",
        unit="0 to 1",
        meaning="speech probability of each frame, with `--probabilities`",
        set_by=("vad",),
        of_the_whole=True,
    ),
    Key(
        name="pred_text",
        kind="string",
        meaning="transcript; empty if the utterance failed",
        set_by=("asr",),
        of_the_whole=True,
        judged=True,
    ),
    Key(
        name="gaps",
        kind="spans",
        unit="seconds",
        meaning="stretches of speech without words: `start` and `end`",
        set_by=("asr",),
        of_the_whole=True,
    ),
    Key(
        name="words",
        kind="words",
        meaning="words of the utterance as other tools write them, passed on; "
        "`asr` writes the words of each segment",
        stated=True,
        of_the_whole=True,
    ),
    Key(
        name="chars",
        kind="words",
        meaning="characters of the utterance as other tools write them, passed on",
        stated=True,
        of_the_whole=True,
    ),
    Key(
        name="units",
        kind="units",
        meaning="discrete units; without `--keep-repeats`, no unit follows itself",
        set_by=("s2s",),
        stated=True,
        of_the_whole=True,
        judged=True,
    ),
    Key(
        name="unit_durations",
        kind="frames",
        unit="frames",
        meaning="number of frames that each unit lasts",
        set_by=("s2s",),
        stated=True,
        of_the_whole=True,
        judged=True,
    ),
    Key(
        name="audio_filepath_out",
        kind="path",
        meaning="path of the speech that was synthesised",
        set_by=("s2s",),
        of_the_whole=True,
    ),
    Key(
        name="duration_out",
        kind="seconds",
        unit="seconds",
        meaning="length of that speech",
        set_by=("s2s",),
        of_the_whole=True,
    ),
    Key(
        name="shard",
        kind="integer",
        meaning="number of the shard with the vectors of the utterance",
        set_by=("embed",),
        of_the_whole=True,
    ),
    Key(
        name="row",
        kind="integer",
        meaning="row of its vectors in the shard, from 0",
        set_by=("embed",),
        of_the_whole=True,
    ),
    Key(
        name="wer",
        kind="number",
        unit="1 is 100 %",
        meaning="word error rate of the utterance, with `-o`; null without a reference",
        set_by=("score",),
        of_the_whole=True,
    ),
    Key(
        name="cer",
        kind="number",
        unit="1 is 100 %",
        meaning="character error rate of the utterance, with `-o`; null without a reference",
        set_by=("score",),
        of_the_whole=True,
    ),
    Key(
        name="word_errors",
        kind="object",
        unit="words",
        meaning="counts behind `wer`: "
        "`reference`, `hits`, `substitutions`, `deletions`, `insertions`",
        set_by=("score",),
        of_the_whole=True,
    ),
    Key(
        name="char_errors",
        kind="object",
        unit="characters",
        meaning="counts behind `cer`, likewise",
        set_by=("score",),
        of_the_whole=True,
    ),
    Key(
        name="valid",
        kind="boolean",
        meaning="whether `validate` has found nothing wrong: no `issues`",
        set_by=("validate",),
        of_the_whole=True,
    ),
    Key(
        name="issues",
        kind="strings",
        meaning="what makes the utterance unfit, by the names of [the rules](validate.md#rules)",
        set_by=("validate",),
        of_the_whole=True,
    ),
    Key(
        name="warnings",
        kind="strings",
        meaning="what is doubtful about it, likewise",
        set_by=("validate", "finetune"),
        of_the_whole=True,
    ),
    Key(
        name="measures",
        kind="object",
        meaning="values that `validate` has measured, by [name](validate.md#measures)",
        set_by=("validate",),
        of_the_whole=True,
    ),
    Key(
        name="used",
        kind="integer",
        meaning="how often a training has learnt from the utterance",
        set_by=("finetune",),
        of_the_whole=True,
    ),
    Key(
        name="skipped",
        kind="strings",
        meaning="why it couldn't: [issues](validate.md#rules), `no_language`, `unknown_language`, "
        "`not_unicode`, `special_tokens`",
        set_by=("finetune",),
        of_the_whole=True,
    ),
    Key(
        name="flags",
        kind="strings",
        meaning="doubts about the utterance, see below",
        set_by=STAGES,
        stated=True,
    ),
    Key(
        name="error",
        kind="object",
        meaning="reason why the utterance failed: `type` and `message`",
        set_by=STAGES,
        stated=True,
    ),
)

#: The keys of an item of ``segments``. `asr` carries over all others from the input's segments.
SEGMENT = (
    Key(
        name="start",
        kind="seconds",
        unit="seconds",
        meaning="beginning, in the recording",
        set_by=("vad", "asr"),
    ),
    Key(
        name="end",
        kind="seconds",
        unit="seconds",
        meaning="end, in the recording",
        set_by=("vad", "asr"),
    ),
    Key(
        name="speaker",
        kind="string",
        meaning="speaker of the segment, as a diarizer writes it; `asr` carries it over",
        stated=True,
    ),
    Key(name="text", kind="string", meaning="transcript of the segment", set_by=("asr",)),
    Key(
        name="confidence",
        kind="number",
        unit="0 to 1",
        meaning="confidence of the engine in the text, where it states one",
        set_by=("asr",),
    ),
    Key(name="flags", kind="strings", meaning="doubts about the text", set_by=("asr",)),
    Key(
        name="lang",
        kind="string",
        meaning="language of the segment, with `--language each`",
        set_by=("asr",),
    ),
    Key(
        name="words",
        kind="words",
        meaning="with `--words`: `word`, `start`, `end` and, where the engine states one, "
        "`confidence` of each",
        set_by=("asr",),
    ),
    Key(
        name="chars",
        kind="words",
        meaning="with `--chars`: the same of each character or token, with `char` for `word`",
        set_by=("asr",),
    ),
)

FLAGS = (
    Flag(
        name="header_disagrees",
        meaning="the header of the file states a length that differs from that of its audio",
        set_by=STAGES,
    ),
    Flag(
        name="other_tracks",
        meaning="the file has several tracks, and the one marked as default was read",
        set_by=STAGES,
    ),
    Flag(
        name="damaged",
        meaning="parts of the file are missing or can't be decoded, and became silence",
        set_by=STAGES,
    ),
    Flag(
        name="channels_cancel",
        meaning="the channels cancel each other, and only the loudest was read",
        set_by=STAGES,
    ),
    Flag(
        name="low_coverage",
        meaning="0.9 s of speech or more has no words; `gaps` says where",
        set_by=("asr",),
        of_the_whole=True,
    ),
    Flag(
        name="doubtful",
        meaning="the model doubts the text, its time is too short to say it, "
        "or it lies where no speech is heard",
        set_by=("asr",),
        of_the_whole=True,
    ),
    Flag(
        name="hallucination",
        meaning="the text repeats itself at every temperature; one repetition is kept",
        set_by=("asr",),
        of_the_whole=True,
    ),
)

#: The keys of a line that a stage may change.
SET_BY_STAGES = frozenset(key.name for key in LINE if key.set_by)
_OF_THE_WHOLE = frozenset(key.name for key in LINE if key.of_the_whole)
_FLAGS_OF_THE_WHOLE = tuple(flag.name for flag in FLAGS if flag.of_the_whole)
_OF_A_TRANSCRIBED_SEGMENT = frozenset(key.name for key in SEGMENT if "asr" in key.set_by)
_SET_BY = {stage: frozenset(key.name for key in LINE if stage in key.set_by) for stage in STAGES}
_STATED = frozenset(key.name for key in LINE if key.stated)
_FLAGS = {stage: tuple(flag.name for flag in FLAGS if stage in flag.set_by) for stage in STAGES}


def with_results(
    record: dict[str, Any], stage: str, results: dict[str, Any], flags: Iterable[str] | None
) -> dict[str, Any]:
    """The line with the ``results`` and ``flags`` of a stage.

    Keys that the stage set in an earlier run are replaced or removed; all others keep their value
    and place. ``flags`` None: the stage has not decoded the audio, and removes no flag.
    """
    unlisted = results.keys() - _SET_BY[stage]
    assert not unlisted, f"{stage} sets {unlisted}, and the table of keys doesn't say so"
    stale = _SET_BY[stage] - _STATED - results.keys()
    line = {key: value for key, value in record.items() if key not in stale} | results
    if flags is None:
        return line
    return _flagged(line, [*_without(flags_of(record), _FLAGS[stage]), *flags])


def for_a_slice(record: dict[str, Any]) -> dict[str, Any]:
    """The line without the keys and flags of the whole recording."""
    line = {key: value for key, value in record.items() if key not in _OF_THE_WHOLE}
    return _flagged(line, _without(flags_of(record), _FLAGS_OF_THE_WHOLE))


def carried_over(segment: dict[str, Any]) -> dict[str, Any]:
    """The keys of an input's segment that `asr` carries over, because it doesn't set them."""
    return {key: value for key, value in segment.items() if key not in _OF_A_TRANSCRIBED_SEGMENT}


def flags_of(record: dict[str, Any]) -> list[Any]:
    """The flags of a line; none if another tool's key of that name is not a list."""
    flags = record.get("flags")
    return flags if isinstance(flags, list) else []


def _without(flags: Iterable[Any], removed: tuple[str, ...]) -> list[Any]:
    return [flag for flag in flags if flag not in removed]


def _flagged(record: dict[str, Any], flags: list[Any]) -> dict[str, Any]:
    if flags:
        unique = [flag for at, flag in enumerate(flags) if flag not in flags[:at]]
        return {**record, "flags": sorted(unique, key=str)}
    if flags_of(record):
        return {key: value for key, value in record.items() if key != "flags"}
    return record
