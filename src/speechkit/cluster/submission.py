"""The jobs of a run: arrays over its splits, and a merge after them."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechkit.cluster.run_record import Array, RunPlan, RunRecord, run_owner
from speechkit.cluster.status import Status
from speechkit.io import slurm
from speechkit.io.split_index import array_text

_GPU_OPTIONS = ("--gres", "--gpu", "--cpus-per-gpu", "--mem-per-gpu", "-G")


@dataclass(frozen=True, slots=True)
class SubmittedArray:
    """``option``: for sbatch, as ``--array=0-7%2``. Task ``i`` runs the split ``offset + i``."""

    job: int
    option: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The jobs that were submitted for the results in ``output``.

    ``merge``: the job that writes the output ``merged``. ``earlier``: jobs of the earlier stage,
    which run first. ``status``: of the run if nothing was submitted, otherwise None.
    """

    stage: str
    output: str
    arrays: tuple[SubmittedArray, ...] = ()
    merge: int | None = None
    merged: str | None = None
    earlier: Submission | None = None
    status: Status | None = None


def submit_jobs(
    record: RunRecord,
    splits: Collection[int],
    wait_for: Sequence[int],
    *,
    reruns: int,
    extra_options: Sequence[str] = (),
) -> Submission:
    """Submit arrays for the splits and a merge, and record each job at once.

    ``wait_for``: jobs that must end first. ``extra_options``: options of the stage for these jobs
    alone. Raises `SchedulerFailed`.
    """
    plan = record.plan
    plan.logs.mkdir(parents=True, exist_ok=True)
    record.save()  # fails before a job is submitted, if the folder can't be written to
    arrays = tuple(_submit_arrays(record, splits, wait_for, extra_options))
    if plan.merged:
        record.set_merge(_submit_merge(record, plan.merged, reruns))
    return Submission(
        stage=plan.stage,
        output=plan.output,
        arrays=arrays,
        merge=record.merge if plan.merged else None,
        merged=plan.merged,
    )


def live_arrays(record: RunRecord | None) -> list[int]:
    """The job arrays of a run that are queued or running."""
    if record is None:
        return []
    recorded = {array.job for array in record.arrays}
    queue = slurm.queue(run_owner(record.plan.output))
    return sorted({queued.array for queued in queue if queued.lives} & recorded)


def array_chunks(splits: Iterable[int], limit: int) -> dict[int, list[int]]:
    """The splits of each array, as indices below ``limit``, by the offset of the array."""
    chunks: dict[int, list[int]] = {}
    for split in sorted(splits):
        offset = split // limit * limit
        chunks.setdefault(offset, []).append(split - offset)
    return chunks


def _submit_arrays(
    record: RunRecord, splits: Collection[int], wait_for: Sequence[int], extra: Sequence[str]
) -> Iterator[SubmittedArray]:
    plan = record.plan
    at_once = f"%{plan.at_once}" if plan.at_once else ""
    for offset, indices in array_chunks(splits, slurm.array_limit()).items():
        option = f"--array={array_text(indices)}{at_once}"
        job = slurm.submit(
            scripts() / "stage.slurm",
            [plan.stage, *plan.options, *extra],
            [*_job_options(plan, plan.stage, "%A_%a"), *plan.sbatch, option, *_after(wait_for)],
            {**_variables(plan), "SPEECHKIT_SPLIT_OFFSET": str(offset)},
        )
        record.add_array(Array(job, offset))
        yield SubmittedArray(job, option, offset)


def _submit_merge(record: RunRecord, merged: str, reruns: int) -> int:
    plan = record.plan
    sbatch = [option for option in plan.sbatch if not option.startswith(_GPU_OPTIONS)]
    return slurm.submit(
        scripts() / "merge.slurm",
        plan.export,
        [*_job_options(plan, "merge", "%j"), *sbatch, *_after(live_arrays(record))],
        {**_variables(plan), "SPEECHKIT_MERGED": merged, "SPEECHKIT_RERUNS": str(reruns)},
    )


def _job_options(plan: RunPlan, name: str, number: str) -> list[str]:
    return job_options(plan.folder, plan.logs, name, number)


def job_options(folder: str, logs: Path, name: str, number: str) -> list[str]:
    """Options for sbatch. ``folder``: where the job begins. ``number``: SLURM's pattern for it."""
    pattern = str(logs).replace("%", "%%")
    return [
        f"--job-name=speechkit-{name}",
        f"--chdir={folder}",
        f"--output={pattern}/{name}-{number}.log",
    ]


def _after(jobs: Sequence[int]) -> list[str]:
    """The dependency on the end of jobs in any state, because the merge checks the results."""
    return [f"--dependency=afterany:{':'.join(map(str, jobs))}"] if jobs else []


def _variables(plan: RunPlan) -> dict[str, str]:
    """All variables that the batch scripts read, so that the user's environment has no effect."""
    return {
        **installation(),
        "SPEECHKIT_SPLITS_DIR": plan.splits,
        "SPEECHKIT_INPUT_DIR": plan.after or plan.splits,
        "SPEECHKIT_OUTPUT_DIR": plan.output,
        "SPEECHKIT_REQUEUES": str(plan.requeues),
    }


def installation() -> dict[str, str]:
    """Variables by which a batch script finds this installation."""
    return {
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def scripts() -> Path:
    """The folder of the batch scripts, in the checkout or the installation."""
    above = Path(__file__).parents[1:]
    checkout = above[2] / "slurm"
    return checkout if checkout.is_dir() else above[4] / "share" / "speechkit" / "slurm"
