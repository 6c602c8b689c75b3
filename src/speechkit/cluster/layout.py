"""The folders of a run: for the splits and their index, and for the results."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io import atomic
from speechkit.io.split_index import SplitIndex, dump_index, index_path, read_index

_SPLIT_AGAIN = "run split-manifest again: the same command gives the same splits"


@dataclass(frozen=True, slots=True)
class Layout:
    """Absolute paths of folders. ``splits`` holds the split manifests and their ``index``,
    ``output`` the results; ``input`` is ``splits``, or the ``output`` of an earlier stage."""

    splits: str
    input: str
    output: str
    index: SplitIndex

    def source(self, number: int) -> Path:
        if self.input == self.splits:
            return Path(self.splits) / self.index.splits[number].file
        return Path(self.input) / self._result_name(number)

    def result(self, number: int) -> Path:
        return Path(self.output) / self._result_name(number)

    def metrics(self, number: int) -> Path:
        """Where the task of a split writes its metrics, which `speechkit report` reads."""
        result = self.result(number)
        return result.parent / "slurm" / f"{result.stem}.metrics.jsonl"

    def _result_name(self, number: int) -> str:
        return self.index.splits[number].file.removesuffix(".gz")

    def require_source(self, number: int) -> None:
        """Raise `UsageError` if the input of a split is missing or incomplete."""
        source, split = self.source(number), self.index.splits[number]
        original = self.input == self.splits
        try:
            size = source.stat().st_size
        except OSError as e:
            way_out = _SPLIT_AGAIN if original else "the stage before has not finished this split"
            raise UsageError(f"{source}: can't be read: {e.strerror}; {way_out}") from e
        if original and size != split.bytes:
            raise UsageError(
                f"{source}: has {size} bytes and not the {split.bytes} of the split; {_SPLIT_AGAIN}"
            )

    def require_sources(self) -> None:
        """Raise `UsageError` if the input of any split is missing or incomplete."""
        for number in range(len(self.index.splits)):
            self.require_source(number)

    def copy_index(self) -> None:
        """Copy the index beside the results, which are the splits of a later stage."""
        copy = index_path(self.output, self.index.stem)
        if not copy.exists():
            atomic.write_text(copy, dump_index(self.index))


def find_layout(splits_dir: str, input_dir: str | None, output_dir: str) -> Layout:
    """Return the layout of a run.

    Raises `UsageError` if ``splits_dir`` doesn't hold the splits of exactly one manifest, or if the
    results would overwrite their input.
    """
    splits = os.path.abspath(splits_dir)  # noqa: PTH100
    indices = sorted(Path(splits).glob("*_splits.json"))
    if not indices:
        raise UsageError(
            f"{splits}: no index of splits (…_splits.json) in it; "
            "make them with split-manifest, or name their folder with --splits-dir"
        )
    if len(indices) > 1:
        names = ", ".join(path.name for path in indices)
        raise UsageError(
            f"{splits}: holds the splits of several manifests ({names}): separate them"
        )
    index = read_index(indices[0])
    assert index
    source = os.path.abspath(input_dir) if input_dir else splits  # noqa: PTH100
    output = os.path.abspath(output_dir)  # noqa: PTH100
    if output in (splits, source):
        raise UsageError(f"{output}: results would overwrite their input; name another folder")
    return Layout(splits, source, output, index)
