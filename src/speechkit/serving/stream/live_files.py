"""Files in text formats that grow while a stream is heard."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from speechkit.errors import OutputConflict
from speechkit.formats.cues import Layout
from speechkit.io import atomic, reference_texts
from speechkit.io.file_names import MOST_BYTES, shorten, shown
from speechkit.io.part_file import part_path
from speechkit.runtime.output_tree import claim, owner_path
from speechkit.serving.stream.events import Event
from speechkit.serving.stream.live_formats import LiveFormat, live_format


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFiles:
    """Files ``name``.srt and so on in a ``folder``, for each of the ``formats``.

    ``output``: the events of the only stream that may write them, unless with ``restart``.
    ``source``: its file, None for a live one.
    """

    folder: Path
    name: str
    formats: tuple[str, ...]
    layout: Layout
    output: Path
    source: Path | None
    restart: bool

    @contextmanager
    def opened(self, past: Iterable[Event]) -> Iterator[list[LiveFile]]:
        """The files with what was said already. Each grows under the name of its part, and gets its
        own when the block ends without an error. Raise `OutputConflict` and `OutputFailed`."""
        paths = {form: self._path(form) for form in self.formats}
        for path in paths.values():
            self._require_ours(path)
        with ExitStack() as stack:
            files: list[LiveFile] = []
            for form, path in paths.items():
                stack.enter_context(atomic.output_errors(path))
                part_path(path).unlink(missing_ok=True)
                file = stack.enter_context(atomic.renamed(part_path(path), path))
                files.append(LiveFile(path, file, live_format(form, self.layout)))
            for event in past:
                for one in files:
                    one.write([event])
            yield files

    def _path(self, form: str) -> Path:
        return self.folder / f"{shorten(self.name, MOST_BYTES - len('.vtt.part'))}.{form}"

    def _require_ours(self, path: Path) -> None:
        kind = f"export{path.suffix}"
        is_reference = path.suffix in reference_texts.SUFFIXES
        if is_reference and self.source and _folder(self.source) == _folder(path):
            raise OutputConflict(
                f"{shown(path)}: would be read as the reference of {shown(self.source)}; "
                "name another --output-dir"
            )
        is_new = not (self.restart or owner_path(self.folder, kind).exists())
        if is_new and os.path.lexists(path):
            raise OutputConflict(
                f"{shown(path)}: exists already, and its folder belongs to no run of speechkit; "
                "name another --output-dir, or replace it with --restart"
            )
        owner = {"result": os.path.relpath(_real(self.output), _real(self.folder))}
        claim(self.folder, kind, owner, restart=self.restart)
        atomic.refuse_special(path)


@dataclass(frozen=True, slots=True)
class LiveFile:
    path: Path
    file: IO[bytes]
    form: LiveFormat

    def write(self, events: Iterable[Event]) -> None:
        with atomic.output_errors(self.path):
            self.file.write("".join(map(self.form.add, events)).encode())
            self.file.flush()


def _folder(path: Path) -> str:
    return _real(path.parent)


def _real(path: Path) -> str:
    return os.path.realpath(path)
