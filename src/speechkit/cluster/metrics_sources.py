"""The files of metrics that a run, its output or the folder of a job array stands for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io.file_names import shown
from speechkit.io.part_file import part_path
from speechkit.runtime import metrics_file


def files_of(source: Path) -> list[Path]:
    """The files of metrics that a source stands for."""
    if source.is_dir():
        if found := _metrics_in(source):
            return found
        raise UsageError(
            f"{shown(source)}: holds no metrics of a run; --metrics of a stage writes them, and "
            "tasks of a job array do so by themselves"
        )
    try:
        if source.exists() and metrics_file.is_metrics(source):
            return [source]
        if source.exists() or part_path(source).exists():
            return [_beside(source)]
    except OSError as e:
        raise UsageError(f"{shown(source)}: can't be read: {e.strerror}") from e
    raise UsageError(f"{shown(source)}: no such file or folder")


def _beside(output: Path) -> Path:
    """The metrics of the runs that write an output."""
    folder = output.absolute().parent
    found = {path: _output_of(path) for path in _metrics_among(folder.iterdir())}
    found |= {path: _output_of(path) for path in _metrics_in(folder)}
    for path in sorted(found, key=lambda path: found[path] != output.absolute()):
        if found[path].name == output.name:
            return path
    empty = output.exists() and not output.stat().st_size
    what = "is empty" if empty else "is no file of metrics, and none of its run lies beside it"
    raise UsageError(f"{shown(output)}: {what}; name the file that a stage's --metrics has written")


def _output_of(metrics: Path) -> Path:
    return Path(str(next(metrics_file.read(metrics), {}).get("output")))


def _metrics_in(folder: Path) -> list[Path]:
    return _metrics_among([*folder.glob("*.jsonl"), *folder.glob("slurm/*.metrics.jsonl")])


def _metrics_among(places: Iterable[Path]) -> list[Path]:
    return [path for path in sorted(places) if _is_metrics(path)]


def _is_metrics(path: Path) -> bool:
    try:
        return path.is_file() and metrics_file.is_metrics(path)
    except OSError:  # it isn't for us to read
        return False
