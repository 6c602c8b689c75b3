"""The files that a run writes, each of which has to be a file of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io.file_names import shown
from speechkit.io.part_file import marker_path, part_path

Name = str | os.PathLike[str]


def require_apart(
    sources: Iterable[Name], output: Name | None, others: Iterable[tuple[str, Name | None]]
) -> None:
    """Refuse a run that would write one of its files over another one, or over a source.

    ``others``: an option and its file, None where it isn't given. Links and second names count as
    the file that they lead to. Raise `UsageError`.
    """
    named = [Path(source) for source in sources if source != "-"]
    taken = {identity: "an input" for path in named for identity in _identities(path)}
    if output is not None and os.path.realpath(output) in taken:
        raise UsageError(f"-o {output}: is an input too; name another output")
    for path, what in _of_output(output).items():
        taken |= dict.fromkeys(_identities(path), what)
    for option, name in others:
        if name is not None:
            _take(taken, option, Path(name))


def _take(taken: dict[object, str], option: str, path: Path) -> None:
    identities = [*_identities(path)]
    if found := next((taken[one] for one in identities if one in taken), None):
        raise UsageError(f"{option} {shown(path)}: is {found} too; name another file")
    taken |= dict.fromkeys(identities, f"the file of {option}")


def _of_output(output: Name | None) -> dict[Path, str]:
    if output is None:
        return {}
    path = Path(output)
    return {
        path: "the output",
        part_path(path): "the unfinished output",
        marker_path(path): "the record of the output",
    }


def _identities(path: Path) -> Iterator[object]:
    yield os.path.realpath(path)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return
    yield status.st_dev, status.st_ino
