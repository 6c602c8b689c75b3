"""The files that a run writes, each of which has to be a file of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io.file_names import shown
from speechkit.io.journal import marker_path, part_path

Name = str | os.PathLike[str]


def require_apart(
    sources: Iterable[Name], output: Name | None, others: Iterable[tuple[str, Name | None]]
) -> None:
    """Refuse a run that would write one of its files over another one, or over a source.

    ``others``: an option and its file, None where it isn't given. Links and second names count as
    the file that they lead to. Raise `UsageError`.
    """
    files = [(Path(source), "an input") for source in sources if source != "-"]
    if output is not None:
        path = Path(output)
        files += [(path, "the output"), (part_path(path), "the unfinished output")]
        files.append((marker_path(path), "the record of the output"))
    taken = {identity: what for path, what in files for identity in _identities(path)}
    for option, name in [(option, name) for option, name in others if name is not None]:
        identities = [*_identities(Path(name))]
        for identity in identities:
            if identity in taken:
                what = taken[identity]
                raise UsageError(f"{option} {shown(name)}: is {what} too; name another file")
        taken.update((identity, f"the file of {option}") for identity in identities)


def _identities(path: Path) -> Iterator[object]:
    yield os.path.realpath(path)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return
    yield status.st_dev, status.st_ino
