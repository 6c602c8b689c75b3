"""Jobs on a SLURM cluster. The folder of the data has to be on a file system that all nodes share.

A job is split by its files, and the merge of the results writes its output.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit.cluster.run_record import RunPlan, read_record
from speechkit.cluster.status import Status, status_of
from speechkit.cluster.submit import submit
from speechkit.errors import SchedulerFailed
from speechkit.io import slurm
from speechkit.runtime.worker_plan import Hardware
from speechkit.serving.web.jobs.request import JobRequest
from speechkit.serving.web.jobs.store import JobFolder
from speechkit.splitting.split import SplitOptions, split_manifest

MOST_SPLITS = 32


def is_there() -> bool:
    """Whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None


@dataclass(frozen=True, slots=True)
class Cluster:
    """``sbatch``: further options for it."""

    hardware: Hardware
    sbatch: tuple[str, ...]

    def hand_over(self, folder: JobFolder, request: JobRequest, files: int) -> None:
        """Submit a job, unless it was submitted before.

        Raises `SchedulerFailed` and `UsageError`.
        """
        splits = str(folder.path / "splits")
        split_manifest(SplitOptions(str(folder.input), min(files, MOST_SPLITS), splits))
        submit(
            RunPlan(
                stage="asr",
                options=tuple(_options(request, self.hardware)),
                splits=splits,
                output=_output(folder),
                folder=str(folder.path),
                merged=str(folder.output),
                sbatch=self.sbatch,
            )
        )


def status(folder: JobFolder) -> Status | None:
    """That of a job's run on the cluster; None if it was not submitted."""
    record = read_record(_output(folder))
    return status_of(record) if record and record.arrays else None


def cancel(folder: JobFolder) -> None:
    """Cancel what of a job is queued or runs. Raises `SchedulerFailed`."""
    record = read_record(_output(folder))
    if record is None:
        return
    for job in (record.merge, *(array.job for array in record.arrays)):
        if job is not None:
            with suppress(SchedulerFailed):  # has ended
                slurm.cancel(job)


def failure(found: Status) -> SchedulerFailed | None:
    """Why nothing more will come of a run; None for one that has ended well, or hasn't ended."""
    if found.merged or found.merging or found.live or not found.known:
        return None
    reasons = [split.reason for split in found.splits if split.reason]
    reason = reasons[0] if reasons else "its results could not be merged"
    return SchedulerFailed(f"the cluster has given up the job: {reason}")


def to_json(found: Status) -> dict[str, Any]:
    """``text``: the rest, for people."""
    splits = Counter(split.state for split in found.splits)
    files = sum(split.utterances for split in found.splits)
    done = sum(split.answered for split in found.splits)
    counts = ", ".join(f"{count} {state}" for state, count in splits.items())
    unknown = "" if found.known else "; SLURM doesn't answer, so what is queued is not known"
    return {
        "splits": splits,
        "files": files,
        "files_done": done,
        "remaining": found.remaining,
        "merged": found.merged,
        "known": found.known,
        "text": f"{done} of {files} files done; splits: {counts}{unknown}",
    }


def _output(folder: JobFolder) -> str:
    return str(folder.path / "cluster")


def _options(request: JobRequest, hardware: Hardware) -> Iterator[str]:
    """Those of `speechkit asr` that give the job's results."""
    options = request.options()
    yield f"--engine={options.engine}"
    if options.model:
        path = Path(options.model)
        yield f"--model={path.resolve() if path.exists() else options.model}"
    if options.words:
        yield "--words"
    if hardware.device != "auto":
        yield f"--device={hardware.device}"
    if hardware.offline:
        yield "--offline"
    for name, value in options.engine_options.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else value
        yield f"--{name.replace('_', '-')}={text}"
