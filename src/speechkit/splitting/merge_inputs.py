"""Finds the result files of a merge, and the manifest and index that they are checked against."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io.split_index import SplitIndex, index_path, read_index, split_number

_LAST = ("\U0010ffff", 0)  # sorts after the stem and number of any split


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """``input_pattern`` is a glob of result files; ``output`` may be ``-`` for stdout."""

    input_pattern: str
    output: str
    _: KW_ONLY
    manifest: str | None = None
    splits_dir: str = "splits"
    allow_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeInputs:
    """The result files in the order of their splits, and the manifest they should cover.

    ``splits`` has the number of each file's split, None where it is no split's.
    """

    paths: list[str]
    splits: list[int | None]
    manifest: str | None
    index: SplitIndex | None
    index_path: Path | None


def find_inputs(options: MergeOptions) -> MergeInputs:
    """Raise `UsageError` where there are none, or where the output would overwrite one."""
    matches = _matches(options.input_pattern)
    _refuse_overwriting(
        options.output, [path for path in matches if _numbered(path)], "a result to merge"
    )
    results = _without(matches, [options.output])
    path, index = _find_index(results, options)
    manifest = options.manifest or (index.parent if index else None)
    sources = _sources(manifest, path, index)
    _refuse_overwriting(options.output, sources, "what the results are held against")
    results = _without(results, sources)
    if not results:
        exception = ", but for the output and the splits themselves" if matches else ""
        raise UsageError(f"{options.input_pattern}: matches no result file{exception}")
    results.sort(key=lambda result: (*(_numbered(result) or _LAST), result))
    return MergeInputs(
        paths=results,
        splits=[_split_of(result) for result in results],
        manifest=manifest,
        index=index,
        index_path=path,
    )


def _matches(pattern: str) -> list[str]:
    """The finished files that a glob matches, or the file of this very name."""
    paths = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    return [path for path in paths if Path(path).is_file() and not path.endswith(".part")]


def _find_index(
    results: Sequence[str], options: MergeOptions
) -> tuple[Path | None, SplitIndex | None]:
    """The index of the splits whose results these are, and its path."""
    stems = sorted({split[0] for path in results if (split := _numbered(path))})
    if len(stems) > 1 and options.manifest is None:
        raise UsageError(
            f"{options.input_pattern}: matches the splits of several manifests "
            f"({', '.join(stems)}); narrow it, or give --manifest"
        )
    if len(stems) != 1:
        return None, None
    path = index_path(options.splits_dir, stems[0])
    return path, read_index(path)


def _sources(manifest: str | None, path: Path | None, index: SplitIndex | None) -> list[str | Path]:
    """The files that the results are held against: the manifest, the index and the splits."""
    sources: list[str | Path] = [manifest] if manifest else []
    if path and index:
        sources += [path, *(path.parent / split.file for split in index.splits)]
    return sources


def _split_of(path: str) -> int | None:
    numbered = _numbered(path)
    return numbered[1] if numbered else None


def _numbered(path: str) -> tuple[str, int] | None:
    return split_number(Path(path).name)


def _without(paths: Iterable[str], others: Iterable[str | Path]) -> list[str]:
    excluded = {Path(other).resolve() for other in others}
    return [path for path in paths if Path(path).resolve() not in excluded]


def _refuse_overwriting(output: str, inputs: Iterable[str | Path], role: str) -> None:
    """Refuse an output that is one of the inputs; an earlier merge may be replaced."""
    if output != "-" and Path(output).resolve() in {Path(path).resolve() for path in inputs}:
        raise UsageError(f"-o {output}: is {role} and would be overwritten; name another file")
