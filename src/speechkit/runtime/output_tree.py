"""Paths of the files that a stage writes: below the output folder, in the tree of the input.

A name depends on its utterance and on two facts about all audio: the common folder, and whether
some names differ by their suffix alone. The splits of a manifest read both from their index, so
that they can be computed apart.

If names differ by their suffix alone, suffixes are kept (`talk.flac.wav`). The name of a slice has
its times in milliseconds (`talk_418-3790.wav`). Units without audio are named by their id.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from speechkit.errors import ManifestError, OutputConflict, UsageError
from speechkit.io import atomic, manifest, safe_open, typed_json
from speechkit.io.audio_survey import AudioSurvey, Surveyor, joined, normal
from speechkit.io.file_names import MOST_BYTES, shorten, shown
from speechkit.io.inputs import Inputs
from speechkit.io.split_index import index_path, read_index, split_number
from speechkit.records import Utterance

_MOST_OWNER = 1 << 20  # bytes of the file that names a folder's owner


@dataclass(frozen=True, slots=True)
class OutputTree:
    """The absolute ``folder`` of the output, in which the tree below ``root`` is mirrored.

    ``suffix`` begins with a dot. ``by_id``: utterances with an id are named by it. ``alike``: as in
    `AudioSurvey`.
    """

    folder: str
    root: str
    suffix: str
    by_id: bool = False
    alike: bool = False

    def path(self, utterance: Utterance) -> Path:
        """The path of an utterance's file, never outside the folder."""
        record = utterance.record
        identity = record.get("id") if self.by_id or not utterance.audio else None
        name, time = str(identity), ""
        if identity is None:
            name = self.name(utterance.audio)
            if record.get("offset") is not None:
                end = utterance.duration and _ms(utterance.offset + utterance.duration)
                time = f"_{_ms(utterance.offset)}-{end or ''}"
        return self._below(name, time + self.suffix, f"utterance-{utterance.index + 1}")

    def recording_path(self, audio: str, extension: str) -> Path:
        """The path of a file for all utterances of a recording, with another extension."""
        return self._below(self.name(audio), extension, "recording")

    def name(self, audio: str) -> str:
        """The path below the root, without suffix if names are distinct without it."""
        path = normal(audio)
        stem = path.removesuffix(self.suffix) if self.alike else os.path.splitext(path)[0]  # noqa: PTH122
        return stem.removeprefix(self.root.rstrip("/") + "/").lstrip("/")

    def holds(self, utterance: Utterance) -> bool:
        """Whether the audio of an utterance lies below the root."""
        return normal(utterance.audio).startswith(self.root.rstrip("/") + "/")

    def _below(self, name: str, ending: str, otherwise: str) -> Path:
        """A path in the folder. Parts that are too long are cut and end in a digest."""
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        *above, last = parts or [otherwise]
        last = shorten(last, MOST_BYTES - len(ending)) + ending
        return Path(self.folder, *(shorten(part, MOST_BYTES) for part in above), last)


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


def survey_whole_manifest(inputs: Inputs) -> AudioSurvey:
    """The survey of all audio; for splits, that of the whole manifest, from their index.

    Raises `UsageError` for a split without its index beside it, because other splits could then
    write files with the same names.
    """
    surveys = [_survey_from_index(name) for name in inputs.manifests]
    of_splits = [survey for survey in surveys if survey]
    if of_splits and len(of_splits) == inputs.sources:
        return joined(of_splits)
    return joined([survey_inputs(inputs), *of_splits])


def survey_inputs(inputs: Inputs) -> AudioSurvey:
    """The survey of the audio of these inputs alone, even if they are a split."""
    surveyor = Surveyor()
    for utterance in inputs:
        if utterance.audio:
            surveyor.add(normal(utterance.audio))
    return surveyor.result()


def _survey_from_index(name: str) -> AudioSurvey | None:
    """The survey in the index of a split; None for a manifest that is not named as a split."""
    split = split_number(Path(name).name)
    if not split:
        return None
    index = read_index(index_path(Path(name).parent, split[0]))
    if index is None:
        raise UsageError(
            f"{name}: is named as a split, but no {split[0]}_splits.json beside it says "
            "where all of its audio lies; keep them together"
        )
    return index.audio


def owner_path(folder: str | Path, kind: str) -> Path:
    """The path of the file that names the folder's owner, for one kind of output."""
    return Path(folder, f".{shorten(kind, MOST_BYTES - len('..json'))}.json")


def claim(folder: str | Path, kind: str, owner: Mapping[str, Any], *, restart: bool) -> bool:
    """Claim the folder for the ``owner`` of this ``kind`` of output. Return whether it is new.

    Another owner would write other contents to the same names. The splits of a manifest are one
    owner. ``restart`` takes the folder from another owner; without it, raises `OutputConflict`.
    """
    path = owner_path(folder, kind)
    with atomic.output_errors(path):
        try:
            present: bytes | None = safe_open.read_bounded(path, _MOST_OWNER)
        except FileNotFoundError:
            present = None
        if present is not None and _is_owner(present, owner):
            return False
        if present is not None and not restart:
            raise OutputConflict(
                f"{shown(folder)}: holds the output of another run ({shown(path.name)} says "
                "which); name another --output-dir, or replace it with --restart"
            )
        atomic.write_text(path, json.dumps(owner, indent=1) + "\n")
    return True


def _is_owner(text: bytes, owner: Mapping[str, Any]) -> bool:
    """Whether the text names this owner, in whatever order of keys."""
    try:
        return bool(typed_json.parse(text) == json.loads(json.dumps(owner)))
    except ValueError:
        return False


def require_distinct_names(tree: OutputTree, utterances: Iterable[Utterance]) -> None:
    """Check that every utterance has an output file of its own, in 8 bytes an utterance.

    Raises `OutputConflict` for input in the output folder, `UsageError` for input outside the root,
    and `ManifestError` for two different utterances with the same file.
    """
    names = array("Q")
    real = cache(os.path.realpath)
    for utterance in utterances:
        if utterance.audio:
            _require_outside(tree, utterance, real)
        names.append(_digest(str(tree.path(utterance))))
    if len(set(names)) < len(names):
        shared = {name for name, times in Counter(names).items() if times > 1}
        pairs = zip(utterances, names, strict=True)
        _require_same_content(tree, (utterance for utterance, name in pairs if name in shared))


def _require_outside(tree: OutputTree, utterance: Utterance, real: Callable[[str], str]) -> None:
    below = real(tree.folder).rstrip("/") + "/"
    folder = real(os.path.dirname(utterance.audio))  # noqa: PTH120
    if f"{folder}/".startswith(below):
        raise OutputConflict(
            f"{tree.folder}: holds input ({shown(utterance.audio)}); name another --output-dir"
        )
    if not tree.by_id and not tree.holds(utterance):
        raise UsageError(f"--audio-root {tree.root}: {shown(utterance.audio)} lies outside of it")


def _require_same_content(tree: OutputTree, utterances: Iterable[Utterance]) -> None:
    """Check utterances that share an output file. Raises `ManifestError` if they differ."""
    seen: dict[str, tuple[str, Utterance]] = {}
    for utterance in utterances:
        if utterance.record.get("error") is not None:
            continue
        path, content = str(tree.path(utterance)), _content(utterance)
        first, other = seen.setdefault(path, (content, utterance))
        if first != content:
            raise ManifestError(
                f"utterances {other.index + 1} and {utterance.index + 1} would both be written to "
                f"{shown(path)}; give them offsets (or units an id) that tell them apart"
            )


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "big")


def _content(utterance: Utterance) -> str:
    """All properties of an utterance that its output depends on."""
    units = {key: utterance.record.get(key) for key in ("units", "unit_durations")}
    return f"{utterance.audio} {utterance.offset} {utterance.duration} {manifest.dump(units)}"
