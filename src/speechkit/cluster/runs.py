"""What `speechkit slurm submit` remembers of a run, beside its results."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from speechkit.cluster.layout import Layout, find
from speechkit.errors import UsageError
from speechkit.io import atomic, safe_open, typed_json
from speechkit.io.slurm import Queued

_MOST_BYTES = 16 << 20  # of the record


@dataclass(frozen=True, slots=True)
class Array:
    """A job array whose task ``i`` has the split ``offset + i``."""

    job: int
    offset: int


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """Absolute paths. ``folder``: where the stage runs, so that its options' paths hold.
    ``options`` are the stage's, ``sbatch`` more of sbatch's. ``merged``: the merged output, None
    for none. ``at_once``: tasks of an array that run at once, 0 for no limit. ``reruns``: how
    often the merge has what is missing run again. ``after``: another run's ``output``, whose
    results are the input. ``export``: options of `speechkit export` of the merged output, none for
    no text files."""

    stage: str
    options: tuple[str, ...]
    splits: str
    output: str
    folder: str
    merged: str | None = None
    export: tuple[str, ...] = ()
    after: str | None = None
    sbatch: tuple[str, ...] = ()
    at_once: int = 0
    reruns: int = 0
    requeues: int = 0

    @property
    def layout(self) -> Layout:
        return find(self.splits, self.after, self.output)

    def same(self, other: ClusterRun) -> bool:
        """Whether both give the same results, however SLURM is to go about it."""
        return self == replace(
            other,
            sbatch=self.sbatch,
            at_once=self.at_once,
            reruns=self.reruns,
            requeues=self.requeues,
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job arrays so far, the oldest first, and the latest merge."""

    run: ClusterRun
    arrays: tuple[Array, ...] = ()
    merge: int | None = None

    def split_of(self, task: Queued) -> int | None:
        """None for a task of another run."""
        for array in self.arrays:
            if task.array == array.job and task.index is not None:
                return array.offset + task.index
        return None


@contextmanager
def locked(output: str) -> Iterator[None]:
    """One at a time submits for a run, as far as the file system has locks."""
    path = record(output).with_name("run.lock")
    with atomic.output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = safe_open.open_append(path)
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def record(output: str) -> Path:
    return Path(output) / "slurm" / "run.json"


def owner(output: str) -> int:
    """Whose jobs they are: the number of the user who submitted, or else of who asks."""
    try:
        return record(output).stat().st_uid
    except OSError:
        return os.getuid()


def save(submitted: Submitted) -> None:
    atomic.write_text(
        record(submitted.run.output), json.dumps(asdict(submitted), indent=1, ensure_ascii=False)
    )


def load(output: str) -> Submitted | None:
    """None where nothing was submitted. Raises `UsageError` for a file that is no such record."""
    at = record(output)
    try:
        fields = typed_json.parse(safe_open.read_bounded(at, _MOST_BYTES))
        run = typed_json.to_dataclass(ClusterRun, fields.pop("run"))
        arrays = tuple(typed_json.to_dataclass(Array, array) for array in fields.pop("arrays"))
        return replace(typed_json.to_dataclass(Submitted, {"run": run, **fields}), arrays=arrays)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
        raise UsageError(f"{at}: no record of a submitted run ({e})") from e


def chunks(splits: Iterable[int], limit: int) -> dict[int, list[int]]:
    """The splits by the offset of their array, as indices below ``limit``."""
    found: dict[int, list[int]] = {}
    for split in sorted(splits):
        offset = split // limit * limit
        found.setdefault(offset, []).append(split - offset)
    return found
