"""Where the audio that a stage makes goes: below the output folder, in the input's own tree.

A name depends on its utterance and on two facts about all the audio, which the splits of a manifest
know from their index, so that they can be computed apart: the folder it has in common, and whether
its names end in various suffixes. Then these are kept (`talk.flac.wav`), for `talk.wav` may be
there too. A slice says which it is (`talk_418-3790.wav`, in milliseconds), and units without audio
are named by their id.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from speechkit.errors import ManifestError, OutputConflict, UsageError
from speechkit.io import atomic, manifest
from speechkit.io.audio_folder import AudioFolder
from speechkit.io.inputs import Inputs
from speechkit.io.names import short
from speechkit.pipelines.splitting.index import index_path, read_index, split_number
from speechkit.records import Utterance

OWNER = ".s2s.json"  # in the folder, says whose it is
MOST_BYTES = 200  # of one name, to which a time and a suffix are added


@dataclass(frozen=True, slots=True)
class OutputTree:
    """``folder`` is absolute, ``root`` is mirrored in it, ``suffix`` begins with a dot. ``by_id``:
    utterances are named by their id where they have one. ``mixed``: input of various suffixes."""

    folder: str
    root: str
    suffix: str
    by_id: bool = False
    mixed: bool = False

    def path(self, utterance: Utterance) -> Path:
        """Never outside the folder, whatever the manifest says."""
        record = utterance.record
        named = record.get("id") if self.by_id or not utterance.audio else None
        name = str(named) if named is not None else self._mirrored(utterance)
        parts = [short(part, MOST_BYTES) for part in name.split("/") if part not in ("", ".", "..")]
        parts = parts or [f"utterance-{utterance.index + 1}"]
        if named is None and record.get("offset") is not None:
            end = "" if utterance.duration is None else _ms(utterance.offset + utterance.duration)
            parts[-1] += f"_{_ms(utterance.offset)}-{end}"
        return Path(self.folder, *parts[:-1], short(parts[-1], MOST_BYTES) + self.suffix)

    def holds(self, utterance: Utterance) -> bool:
        """Whether its audio lies below the root."""
        return os.path.normpath(utterance.audio).startswith(self.root.rstrip("/") + "/")

    def _mirrored(self, utterance: Utterance) -> str:
        path = os.path.normpath(utterance.audio)
        stem = path.removesuffix(self.suffix) if self.mixed else os.path.splitext(path)[0]  # noqa: PTH122
        return stem.removeprefix(self.root.rstrip("/") + "/")


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


def audio_folder(inputs: Inputs) -> AudioFolder:
    """Where all audio lies; of splits, that of the whole manifest.

    Raises `UsageError` for a split whose index is not beside it: what other splits write could then
    have the same names.
    """
    common = AudioFolder()
    for name in inputs.manifests:
        split = split_number(Path(name).name)
        if split:
            index = read_index(index_path(Path(name).parent, split[0]))
            if index is None or not (index.audio_folder or not index.utterances):
                raise UsageError(
                    f"{name}: is named as a split, but no {split[0]}_splits.json beside it says "
                    "where all of its audio lies; keep them together"
                )
            common.join(AudioFolder(index.audio_folder, index.audio_suffixes))
    for utterance in inputs:
        if utterance.audio:
            common.add(utterance.audio)
    return common


def claim(tree: OutputTree, options: Mapping[str, Any], *, restart: bool) -> None:
    """Makes the folder this kind of run's own: others would write other speech to the same names.
    The splits of a manifest are of one kind. ``restart`` takes the folder from another kind.

    Raises `OutputConflict`.
    """
    path = Path(tree.folder) / OWNER
    text = json.dumps({"tree": asdict(tree), "options": options}, indent=1) + "\n"
    if restart or not path.exists():
        atomic.write_text(path, text)
    elif path.read_text(encoding="utf-8", errors="replace") != text:
        raise OutputConflict(
            f"{tree.folder}: holds the speech of a run with other options or other input ({OWNER} "
            "says which); name another --output-dir, or replace it with --restart"
        )


def require_own_names(tree: OutputTree, utterances: Iterable[Utterance]) -> None:
    """Raises `OutputConflict` where input lies in the output folder, and `ManifestError` where two
    different utterances would be written to one file. Takes 8 bytes an utterance."""
    names = array("Q")
    real = cache(os.path.realpath)
    below = str(real(tree.folder)).rstrip("/") + "/"
    for utterance in utterances:
        folder = real(os.path.dirname(utterance.audio)) if utterance.audio else ""  # noqa: PTH120
        if f"{folder}/".startswith(below):
            raise OutputConflict(
                f"{tree.folder}: holds input ({utterance.audio}); name another --output-dir"
            )
        if utterance.audio and not tree.by_id and not tree.holds(utterance):
            raise UsageError(f"--audio-root {tree.root}: {utterance.audio} lies outside of it")
        names.append(_digest(str(tree.path(utterance))))
    if len(set(names)) == len(names):
        return
    doubled = {name for name, times in Counter(names).items() if times > 1}
    seen: dict[str, tuple[str, Utterance]] = {}
    for utterance, name in zip(utterances, names, strict=True):
        if name not in doubled or utterance.record.get("error") is not None:
            continue
        path, content = str(tree.path(utterance)), _content(utterance)
        first, other = seen.setdefault(path, (content, utterance))
        if first != content:
            raise ManifestError(
                f"utterances {other.index + 1} and {utterance.index + 1} would both be written to "
                f"{path}; give them offsets (or units an id) that tell them apart"
            )


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "big")


def _content(utterance: Utterance) -> str:
    """What an utterance's output depends on."""
    record = utterance.record
    own = {key: record.get(key) for key in ("units", "unit_durations")}
    return f"{utterance.audio} {utterance.offset} {utterance.duration} {manifest.dump(own)}"
