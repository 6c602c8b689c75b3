"""Where the audio that a stage makes goes: below the output folder, in the input's own tree.

A name depends on its utterance and on two facts about all the audio, which the splits of a manifest
know from their index, so that they can be computed apart: the folder it has in common, and whether
its names end in various suffixes. Then these are kept (`talk.flac.wav`), for `talk.wav` may be
there too. A slice says which it is (`talk_418-3790.wav`, in milliseconds), and units without audio
are named by their id.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from speechkit.errors import ManifestError, OutputConflict, UsageError
from speechkit.io import manifest
from speechkit.io.audio_folder import AudioFolder
from speechkit.io.inputs import Inputs
from speechkit.pipelines.splitting.index import index_path, read_index, split_number
from speechkit.records import Utterance

MOST_BYTES = 200  # of one name; file systems take 255, of which a temporary name may need some


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
        parts = [_short(part) for part in name.split("/") if part not in ("", ".", "..")]
        parts = parts or [f"utterance-{utterance.index + 1}"]
        if named is None and record.get("offset") is not None:
            end = "" if utterance.duration is None else _ms(utterance.offset + utterance.duration)
            parts[-1] += f"_{_ms(utterance.offset)}-{end}"
        return Path(self.folder, *parts[:-1], _short(parts[-1]) + self.suffix)

    def _mirrored(self, utterance: Utterance) -> str:
        path = os.path.normpath(utterance.audio)
        stem = path.removesuffix(self.suffix) if self.mixed else os.path.splitext(path)[0]  # noqa: PTH122
        return stem.removeprefix(self.root.rstrip("/") + "/")


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


def _short(name: str) -> str:
    """Names that no file system takes are cut, and told apart by a digest."""
    name = name.replace("\0", "")
    raw = os.fsencode(name)
    if len(raw) <= MOST_BYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:12]
    return raw[: MOST_BYTES - 13].decode(errors="ignore") + "-" + digest


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
            if index is None:
                raise UsageError(
                    f"{name}: is named as a split, but no {split[0]}_splits.json beside it says "
                    "where all of its audio lies; keep them together"
                )
            common.join(AudioFolder(index.audio_folder, index.audio_suffixes))
    for utterance in inputs:
        if utterance.audio:
            common.add(os.path.normpath(utterance.audio))
    return common


def require_own_names(tree: OutputTree, utterances: Iterable[Utterance]) -> None:
    """Raises `OutputConflict` where input lies in the output folder, and `ManifestError` where two
    different utterances would be written to one file. Takes 8 bytes an utterance."""
    names = array("Q")
    below = tree.folder.rstrip("/") + "/"
    for utterance in utterances:
        if utterance.audio.startswith(below):
            raise OutputConflict(
                f"{tree.folder}: holds input ({utterance.audio}); name another --output-dir"
            )
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
                f"{path}; give them an id, or offsets, that tell them apart"
            )


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "big")


def _content(utterance: Utterance) -> str:
    """What an utterance's output depends on."""
    record = utterance.record
    own = {key: record.get(key) for key in ("units", "unit_durations")}
    return f"{utterance.audio} {utterance.offset} {utterance.duration} {manifest.dump(own)}"
