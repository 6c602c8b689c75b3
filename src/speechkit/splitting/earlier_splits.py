"""Splits that are there already: the same ones, those of another run, and strangers' files."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from speechkit.errors import OutputConflict
from speechkit.io.split_index import SplitIndex, read_index


def are_same(old: SplitIndex, new: SplitIndex) -> bool:
    """Whether both are splits of the same manifest, divided the same way."""
    return (old.parent, old.fingerprint, old.by, len(old.splits)) == (
        new.parent,
        new.fingerprint,
        new.by,
        len(new.splits),
    )


def are_whole(index: SplitIndex, folder: Path) -> bool:
    """Whether every split is there in its full size."""
    try:
        return all((folder / split.file).stat().st_size == split.bytes for split in index.splits)
    except OSError:
        return False


def make_room(new: SplitIndex, indices: tuple[Path, Path], *, restart: bool) -> None:
    """Refuse to write over the splits of another run; with ``restart`` remove them instead.

    ``indices``: where a finished and an unfinished index would be.
    """
    for path in indices:
        old = read_index(path)
        if old is None:
            continue
        if restart:
            for split in old.splits:
                (path.parent / split.file).unlink(missing_ok=True)
            path.unlink()
        elif not are_same(old, new):
            raise OutputConflict(
                f"{path}: lists {len(old.splits)} splits of {_difference(old, new)}; "
                "--restart replaces them, or name another --output-dir"
            )


def refuse_unlisted(folder: Path, stem: str, suffix: str, indices: tuple[Path, Path]) -> None:
    """Refuse to write beside files that are named like splits and listed by no index."""
    listed = {split.file for path in indices if (old := read_index(path)) for split in old.splits}
    split_name = re.compile(re.escape(stem) + r"_split_\d{2,}" + re.escape(suffix))
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if split_name.fullmatch(path.name) and path.name not in listed:
            raise OutputConflict(
                f"{path}: is in the way and no index of splits lists it; "
                "move it away, or name another --output-dir"
            )


def remove_temporary(folder: Path, names: set[str]) -> None:
    """Remove the temporary files of killed splits, in a single pass over the folder."""
    for path in folder.glob(".*.????????.tmp"):
        if path.name[1 : -len(".????????.tmp")] in names:
            with suppress(OSError):  # another user's, or no file
                path.unlink()


def _difference(old: SplitIndex, new: SplitIndex) -> str:
    if old.parent != new.parent:
        return f"another manifest, {old.parent}"
    if old.fingerprint != new.fingerprint:
        return f"an earlier state of {old.parent}"
    if old.by != new.by:
        return f"{old.parent} by {old.by}, not by {new.by}"
    return f"{old.parent}, not {len(new.splits)}"
