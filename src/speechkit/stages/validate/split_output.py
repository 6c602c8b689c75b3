"""The lines of a validation in two manifests: what is kept and what is rejected."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from speechkit.errors import OutputConflict, OutputFailed, UsageError
from speechkit.io import atomic, typed_json
from speechkit.io.file_names import shown
from speechkit.io.manifest import open_lines
from speechkit.runtime.output_tree import claim, owner_path

KEPT, REJECTED = "kept.jsonl", "rejected.jsonl"
_KIND = "validate"  # of output, for the claim


class SplitOutput:
    """``kept.jsonl`` and ``rejected.jsonl`` in a ``folder``, with the lines of ``output``.

    Both are a function of the output alone. ``restart`` takes the folder from another output. Raise
    `UsageError` where they would replace an input, and `OutputConflict` where another file.
    """

    def __init__(self, folder: Path, output: str, sources: Sequence[str], *, restart: bool) -> None:
        self._folder = folder
        self._output = output
        self._restart = restart
        self._files = (folder / KEPT, folder / REJECTED)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--split-output {folder}: is not a folder")
        used = {os.path.realpath(path) for path in (output, *sources)}
        owned = restart or owner_path(folder, _KIND).exists()
        for file in self._files:
            if os.path.realpath(file) in used:
                raise UsageError(f"--split-output {folder}: {shown(file)} is read or written too")
            if file.exists() and not owned:
                raise OutputConflict(
                    f"{shown(file)}: exists already, and its folder belongs to no validation; "
                    "name another --split-output, or replace it with --restart"
                )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Claim the folder for this output. A `UsageError` inside takes the claim back."""
        result = os.path.relpath(os.path.realpath(self._output), os.path.realpath(self._folder))
        try:
            new = claim(self._folder, _KIND, {"result": result}, restart=self._restart)
        except OutputConflict as e:
            raise OutputConflict(
                f"{shown(self._folder)}: holds the output of another run; "
                "name another --split-output, or replace it with --restart"
            ) from e
        except OutputFailed as e:
            raise OutputFailed(f"--split-output {shown(self._folder)}: {e}") from e
        try:
            yield
        except UsageError:
            if new:
                owner_path(self._folder, _KIND).unlink(missing_ok=True)
            raise

    def write(self) -> None:
        """Write both files from the finished output."""
        kept, rejected = self._files
        with (
            open_lines(self._output) as lines,
            atomic.publish(kept) as valid,
            atomic.publish(rejected) as invalid,
        ):
            for line in lines:
                (valid if typed_json.parse(line)["valid"] is True else invalid).write(line)
