"""Where the files that a stage makes go: below the output folder, in the input's own tree.

A name depends on its utterance and on two facts about all the audio, which the splits of a manifest
know from their index, so that they can be computed apart: the folder it has in common, and whether
some of its names differ by their suffix alone. Then these are kept (`talk.flac.wav`). A slice says
which it is (`talk_418-3790.wav`, in milliseconds), and units without audio are named by their id.
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
from speechkit.io import atomic, manifest, safe_open
from speechkit.io.audio_survey import AudioSurvey, Surveyor, joined, normal
from speechkit.io.file_names import MOST_BYTES, shorten, shown
from speechkit.io.inputs import Inputs
from speechkit.io.split_index import index_path, read_index, split_number
from speechkit.records import Utterance

_MOST_OWNER = 1 << 20  # bytes of what says whose a folder is


@dataclass(frozen=True, slots=True)
class OutputTree:
    """``folder`` is absolute, ``root`` is mirrored in it, ``suffix`` begins with a dot. ``by_id``:
    utterances are named by their id where they have one. ``alike``: as in `AudioSurvey`."""

    folder: str
    root: str
    suffix: str
    by_id: bool = False
    alike: bool = False

    def path(self, utterance: Utterance) -> Path:
        """Never outside the folder, whatever the manifest says."""
        record = utterance.record
        named = record.get("id") if self.by_id or not utterance.audio else None
        name, time = str(named), ""
        if named is None:
            name = self.name(utterance.audio)
            if record.get("offset") is not None:
                end = utterance.duration and _ms(utterance.offset + utterance.duration)
                time = f"_{_ms(utterance.offset)}-{end or ''}"
        return self._below(name, time + self.suffix, f"utterance-{utterance.index + 1}")

    def recording(self, audio: str, extension: str) -> Path:
        """As `path`, of all utterances of a recording together, in a file of another kind."""
        return self._below(self.name(audio), extension, "recording")

    def name(self, audio: str) -> str:
        """What is mirrored of a path, without suffix where that leaves all names distinct."""
        path = normal(audio)
        stem = path.removesuffix(self.suffix) if self.alike else os.path.splitext(path)[0]  # noqa: PTH122
        return stem.removeprefix(self.root.rstrip("/") + "/").lstrip("/")

    def holds(self, utterance: Utterance) -> bool:
        """Whether its audio lies below the root."""
        return normal(utterance.audio).startswith(self.root.rstrip("/") + "/")

    def _below(self, name: str, ending: str, otherwise: str) -> Path:
        """Parts that are too long end in a digest."""
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        *above, last = parts or [otherwise]
        last = shorten(last, MOST_BYTES - len(ending)) + ending
        return Path(self.folder, *(shorten(part, MOST_BYTES) for part in above), last)


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


def survey(inputs: Inputs) -> AudioSurvey:
    """Of all audio; of splits, that of the whole manifest.

    Raises `UsageError` for a split whose index is not beside it: what other splits write could then
    have the same names.
    """
    splits = [_survey_of_split(name) for name in inputs.manifests]
    whole = [one for one in splits if one]
    if whole and len(whole) == inputs.sources:
        return joined(whole)
    return joined([survey_of(inputs), *whole])


def survey_of(inputs: Inputs) -> AudioSurvey:
    """Of these alone, be they a split."""
    surveyor = Surveyor()
    for utterance in inputs:
        if utterance.audio:
            surveyor.add(normal(utterance.audio))
    return surveyor.result()


def _survey_of_split(name: str) -> AudioSurvey | None:
    """None for what is not named as a split."""
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
    """In the folder, says whose it is."""
    return Path(folder, f".{shorten(kind, MOST_BYTES - len('..json'))}.json")


def claim(folder: str | Path, kind: str, owner: Mapping[str, Any], *, restart: bool) -> bool:
    """Makes the folder this kind of run's own: others would write other things to the same names.
    The splits of a manifest are of one kind. ``restart`` takes the folder from another kind.
    Returns whether it has changed hands.

    Raises `OutputConflict`.
    """
    path = owner_path(folder, kind)
    text = (json.dumps(owner, indent=1) + "\n").encode()
    with atomic.output_errors(path):
        try:
            there: bytes | None = safe_open.read_bounded(path, _MOST_OWNER)
        except FileNotFoundError:
            there = None
        if there == text:
            return False
        if there is not None and not restart:
            raise OutputConflict(
                f"{shown(folder)}: holds what another run has made ({shown(path.name)} says "
                "which); name another --output-dir, or replace it with --restart"
            )
        atomic.write_text(path, text.decode())
    return True


def require_own_names(tree: OutputTree, utterances: Iterable[Utterance]) -> None:
    """Raises `OutputConflict` where input lies in the output folder, and `ManifestError` where two
    different utterances would be written to one file. Takes 8 bytes an utterance."""
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
    """Of utterances that share the name of their output."""
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
    """Everything that an utterance's output depends on."""
    units = {key: utterance.record.get(key) for key in ("units", "unit_durations")}
    return f"{utterance.audio} {utterance.offset} {utterance.duration} {manifest.dump(units)}"
