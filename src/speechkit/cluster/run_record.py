"""The record of a submitted run, beside its results: ``OUTPUT_DIR/slurm/run.json``."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from speechkit.cluster.layout import Layout, find_layout
from speechkit.errors import UsageError
from speechkit.io import atomic, safe_open, typed_json
from speechkit.io.slurm import Queued

_MOST_BYTES = 16 << 20  # of the record


@dataclass(frozen=True, slots=True)
class Array:
    """A job array. Its task ``i`` runs the split ``offset + i``."""

    job: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """A stage over the splits of a manifest. All paths are absolute.

    ``folder``: working directory of the stage, so that relative paths in its ``options`` hold.
    ``merged``: the merged output, if any. ``export``: options of `speechkit export` for it, if any.
    ``after``: the ``output`` of an earlier stage's run, whose results are the input. ``sbatch``:
    additional options for sbatch. ``at_once``: tasks of an array that run at the same time, 0 for
    no limit. ``reruns``: rounds in which the merge submits missing splits again. ``requeues``:
    attempts in a row without a finished utterance after which a task isn't queued again.
    """

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
        return find_layout(self.splits, self.after, self.output)

    @property
    def logs(self) -> Path:
        return Path(self.output) / "slurm" / "logs"

    def same_results(self, other: RunPlan) -> bool:
        """Whether both plans give the same results; their options for SLURM may differ."""
        return self == replace(
            other,
            sbatch=self.sbatch,
            at_once=self.at_once,
            reruns=self.reruns,
            requeues=self.requeues,
        )


@dataclass(slots=True)
class RunRecord:
    """The plan of a run, its job arrays with the oldest first, and its latest merge job.

    Each job is saved as soon as it is submitted, so that none is lost if the submitting process
    dies before the next one.
    """

    plan: RunPlan
    arrays: tuple[Array, ...] = ()
    merge: int | None = None

    def add_array(self, array: Array) -> None:
        self.arrays += (array,)
        self.save()

    def set_merge(self, job: int) -> None:
        self.merge = job
        self.save()

    def save(self) -> None:
        fields = {
            "run": asdict(self.plan),
            "arrays": [asdict(array) for array in self.arrays],
            "merge": self.merge,
        }
        text = json.dumps(fields, indent=1, ensure_ascii=False)
        atomic.write_text(record_path(self.plan.output), text)

    def split_of(self, queued: Queued) -> int | None:
        """The split of a task in SLURM's queue, None for a task of another run."""
        for array in self.arrays:
            if queued.array == array.job and queued.index is not None:
                return array.offset + queued.index
        return None


def record_path(output: str) -> Path:
    return Path(output) / "slurm" / "run.json"


def read_record(output: str) -> RunRecord | None:
    """Return the record, None if nothing was submitted. Raises `UsageError` for an invalid file."""
    path = record_path(output)
    try:
        fields = typed_json.parse(safe_open.read_bounded(path, _MOST_BYTES))
        plan = typed_json.to_dataclass(RunPlan, fields.pop("run"))
        arrays = tuple(typed_json.to_dataclass(Array, array) for array in fields.pop("arrays"))
        return typed_json.to_dataclass(RunRecord, {"plan": plan, "arrays": arrays, **fields})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
        raise UsageError(f"{path}: no record of a submitted run ({e})") from e


@contextmanager
def locked_record(output: str) -> Iterator[RunRecord | None]:
    """Yield the record to one submitting process at a time, if the file system has locks."""
    path = record_path(output).with_name("run.lock")
    with atomic.output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = safe_open.open_append(path)
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield read_record(output)


@contextmanager
def locked_existing_record(output: str) -> Iterator[RunRecord]:
    """Yield the record as `locked_record` does. Raises `UsageError` if nothing was submitted."""
    path = record_path(output)
    with locked_record(output) if path.exists() else nullcontext() as record:
        if record is None:
            raise UsageError(
                f"{output}: nothing was submitted for this folder ({path} is missing); "
                "run the splits that `speechkit slurm status` names with sbatch --array"
            )
        yield record


def run_owner(output: str) -> int:
    """The id of the user who submitted the run, or of this user if nobody did."""
    try:
        return record_path(output).stat().st_uid
    except OSError:
        return os.getuid()
