"""Text files of finished records: grouped by recording, rendered, published.

The names of the files depend on the whole manifest alone (`OutputTree`). They are checked, and
their folder is claimed, before the run, so that no conflict of names holds back computed results.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from speechkit.errors import OutputConflict, SpeechkitError, UsageError
from speechkit.formats.format import Format
from speechkit.io import atomic, reference_texts
from speechkit.io.file_names import MOST_BYTES, shorten, shown
from speechkit.io.inputs import AUDIO_SUFFIXES, Inputs
from speechkit.io.manifest import manifest_stem
from speechkit.io.manifest_checks import lacks_audio
from speechkit.io.split_index import split_number
from speechkit.records import Record, Recording, Utterance
from speechkit.runtime.output_tree import OutputTree, claim, owner_path, survey_whole_manifest
from speechkit.runtime.recordings import by_audio, completed, recording_of


@dataclass(slots=True)
class Written:
    """The account of an export to ``folder``.

    ``files``: number of files written. ``failures``: reasons for files that were not.
    ``failed``: number of recordings with an utterance that failed; ``partial`` of them still have
    a file. ``shortened``: number of names that were too long.
    """

    folder: Path
    files: int = 0
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    partial: int = 0
    shortened: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


class Export:
    """Files below ``folder``: one per recording and format, or one per format, named ``joined``.

    ``result``: the manifest to render, "-" for stdin. ``restart`` takes the folder from another
    result. Raises `OutputConflict` for a file that would replace that of another result, or would
    be read as the reference of audio beside it. Raises `UsageError` for a split that shares a
    recording with another split.
    """

    def __init__(
        self,
        inputs: Inputs,
        result: str,
        folder: Path,
        formats: Sequence[Format],
        *,
        joined: str | None,
        restart: bool,
    ) -> None:
        audio = survey_whole_manifest(inputs)
        if audio.apart:
            raise UsageError(
                f"{', '.join(inputs.manifests)}: slices of one recording lie in several splits, "
                "and its text file takes all of them; merge the results, then run speechkit export"
            )
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--output-dir {folder}: is not a folder")
        self._inputs = inputs
        self._folder = folder
        self._formats = formats
        self._joined = joined
        self._tree = OutputTree(os.path.abspath(folder), audio.folder, "", alike=audio.alike)  # noqa: PTH100
        self._owner = {
            "result": result if result == "-" else self._relative(_whole_result(inputs, result)),
            "audio": self._relative(audio.folder),
            "alike": audio.alike,
        }
        self._restart = restart
        for form in formats:
            self._require_room(form)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Claim the folder for this result. A `UsageError` inside takes the claim back."""
        new = [
            kind
            for kind in map(self._kind, self._formats)
            if claim(self._tree.folder, kind, self._owner, restart=self._restart)
        ]
        try:
            yield
        except UsageError:
            for kind in new:
                owner_path(self._tree.folder, kind).unlink(missing_ok=True)
            raise

    def write(self, read: Callable[[], Iterable[Record]]) -> Written:
        """Write the files of the records, which are read twice.

        A file that can't be written is reported at the end, and so is an existing file of a
        recording that has failed now.
        """
        written = Written(self._folder)
        if self._joined:
            groups = by_audio(read()).items()
            joined = [self._recording(path, records, written) for path, records in groups]
            for form in self._formats:
                self._write(form, "", [recording for recording in joined if recording], written)
        else:
            for path, records in completed(read):
                recording = self._recording(path, records, written)
                for form in self._formats:
                    self._write(form, path, [recording] if recording else [], written)
        return written

    def _recording(
        self, path: str, records: Sequence[Record], written: Written
    ) -> Recording | None:
        recording = recording_of(self._tree.name(path), records)
        failed = any(record.get("error") is not None for record in records)
        written.failed += failed
        written.partial += failed and recording is not None
        return recording

    def _write(
        self, form: Format, audio: str, recordings: Sequence[Recording], written: Written
    ) -> None:
        target = self._target(form, audio)
        try:
            if recordings or self._joined:
                atomic.write_text(target, form.render(recordings))
                written.files += 1
                name = self._joined or recordings[0].name.rpartition("/")[2]
                written.shortened += target.name != (name or target.stem) + form.extension
            elif target.exists():
                written.failures.append(
                    f"{shown(target)}: is from an earlier result, and its recording has failed now"
                )
        except SpeechkitError as e:
            written.failures.append(str(e))

    def _target(self, form: Format, audio: str) -> Path:
        if self._joined:
            most = MOST_BYTES - len(form.extension)
            return Path(self._tree.folder, shorten(self._joined, most) + form.extension)
        return self._tree.recording_path(audio, form.extension)

    def _kind(self, form: Format) -> str:
        return (
            f"export.{self._joined}{form.extension}" if self._joined else f"export{form.extension}"
        )

    def _relative(self, path: str) -> str:
        """The path relative to the folder, without links, so that both can be moved."""
        return os.path.relpath(os.path.realpath(path), os.path.realpath(self._folder))

    def _require_room(self, form: Format) -> None:
        new = not (self._restart or owner_path(self._tree.folder, self._kind(form)).exists())
        refers = form.extension in reference_texts.SUFFIXES
        neighbours = _Neighbours(self._inputs if refers else ())
        for target in self._targets(form):
            if refers and (beside := neighbours.audio_of(target)):
                raise OutputConflict(
                    f"{shown(target)}: would be read as the reference of {shown(beside)}; "
                    "name another --output-dir"
                )
            if new and neighbours.holds(target):
                raise OutputConflict(
                    f"{shown(target)}: exists already, and its folder belongs to no run of "
                    "speechkit; name another --output-dir, or replace it with --restart"
                )

    def _targets(self, form: Format) -> Iterator[Path]:
        if self._joined:
            yield self._target(form, "")
            return
        last = ""
        for utterance in self._inputs:
            if utterance.audio != last:
                last = utterance.audio
                yield self._target(form, last)


def _whole_result(inputs: Inputs, result: str) -> str:
    """The name of the result or, if the input is a split, a pattern for all splits' results."""
    splits = {
        numbered[0] for name in inputs.manifests if (numbered := split_number(Path(name).name))
    }
    return str(Path(result).with_name(f"{' '.join(sorted(splits))}_split_*")) if splits else result


class Results(Inputs):
    """`Inputs` from the output of a stage. Lines without an error have all ``keys``."""

    def __init__(self, result: str, keys: Sequence[str]) -> None:
        self._keys = keys
        super().__init__([result])

    def lacks(self, record: Record) -> str | None:
        reason = lacks_audio(record)
        if reason or record.get("error") is not None:
            return reason
        for key in self._keys:
            if record.get(key) is None and not (key == "segments" and "parent" in record):
                return f'has no "{key}", which the format needs'
        if "pred_text" in self._keys and record["pred_text"] and not _has_segment_text(record):
            return '"segments" have no "text", which the format needs'
        return None


def _has_segment_text(record: Record) -> bool:
    segments = record.get("segments")
    return segments is None or any(segment.get("text") for segment in segments)


def export_result(
    results: Inputs,
    name: str,
    folder: Path,
    formats: Sequence[Format],
    *,
    one_file: bool,
    restart: bool,
) -> Written:
    """Write text files of the finished result ``name``, "-" for stdin."""
    stem = manifest_stem(name) if name != "-" else "results"
    joined = stem if one_file else None
    export = Export(results, name, folder, formats, joined=joined, restart=restart)
    with export.claimed():
        return export.write(lambda: (utterance.record for utterance in results))


class _Neighbours:
    """The files beside those to be written. Each folder is listed once."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        self._names = cache(_names)
        self._audio = cache(self._audio_in)
        given = {os.path.splitext(utterance.audio)[1].lower() for utterance in utterances}  # noqa: PTH122
        self._suffixes = {*AUDIO_SUFFIXES, *given} - {""}

    def holds(self, target: Path) -> bool:
        return target.name in self._names(target.parent)

    def audio_of(self, target: Path) -> str:
        """The name of the audio beside a text file with its stem, "" if there is none."""
        names: dict[str, str] = self._audio(target.parent)
        return names.get(target.stem, "")

    def _audio_in(self, folder: Path) -> dict[str, str]:
        split = ((os.path.splitext(name), name) for name in self._names(folder))  # noqa: PTH122
        return {stem: name for (stem, end), name in split if end.lower() in self._suffixes}


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208
    except OSError:  # not there yet
        return frozenset()
