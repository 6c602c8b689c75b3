"""Submission of a run to SLURM, and of its incomplete splits again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speechkit.cluster.rehearsal import rehearse
from speechkit.cluster.run_record import (
    RunPlan,
    RunRecord,
    locked_existing_record,
    locked_record,
    read_record,
)
from speechkit.cluster.split_status import CANCELLED
from speechkit.cluster.status import Status, status_of
from speechkit.cluster.submission import Submission, live_arrays, submit_jobs
from speechkit.errors import OutputConflict, UsageError
from speechkit.io import slurm
from speechkit.splitting.split import SplitOptions, split_manifest


def submit(plan: RunPlan) -> Submission:
    """Submit arrays for all splits, and the merge.

    The stage first runs over an empty manifest, which checks its options and fetches its model. For
    a run that was submitted before, only its status is returned. Raises `OutputConflict` if the
    output folder has the results of another run.
    """
    layout = plan.layout
    submitted = read_record(plan.output)
    if not (submitted and submitted.arrays):
        _rehearse(plan)  # before the lock, so that a failure leaves no lock file
    with locked_record(plan.output) as record:
        if record and record.arrays:
            return _submitted_before(record, plan)
        if plan.after is None:
            layout.require_sources()
        splits = range(len(layout.index.splits))
        wait_for = live_arrays(_earlier_record(plan))
        return submit_jobs(RunRecord(plan), splits, wait_for, reruns=plan.reruns)


def rerun(
    output: str,
    reruns: int | None = None,
    *,
    sbatch: Sequence[str] = (),
    retry_failed: bool = False,
) -> Submission:
    """Submit the incomplete splits again, and the merge after them.

    Incomplete splits are neither done, running nor queued. ``retry_failed`` adds the splits with
    failed utterances, to run these again. Missing split files are written again; missing splits of
    an earlier stage are submitted first. ``reruns``: rounds in which the merge does the same, None
    for the number of the submitted run. ``sbatch``: options added to those of the run, from now on.
    If a merge job calls this, splits cancelled in SLURM stay cancelled. Raises `UsageError` if
    nothing was submitted, and `SchedulerFailed` if SLURM doesn't answer.
    """
    with locked_existing_record(output) as record:
        status = status_of(record, need_queue=True)
        record.plan = plan = replace(record.plan, sbatch=(*record.plan.sbatch, *sbatch))
        splits = _incomplete(record, status, retry_failed=retry_failed)
        if not splits and _needs_no_merge(status):
            return Submission(stage=plan.stage, output=output, status=status)
        earlier = _restore_input(plan)
        _cancel_waiting_merge(record)
        submission = submit_jobs(
            record,
            splits,
            live_arrays(_earlier_record(plan)),
            reruns=plan.reruns if reruns is None else reruns,
            extra_options=["--retry-failed"] if retry_failed else [],
        )
        return replace(submission, earlier=earlier)


def _submitted_before(record: RunRecord, plan: RunPlan) -> Submission:
    if record.plan.same_results(plan):
        return Submission(stage=plan.stage, output=plan.output, status=status_of(record))
    raise OutputConflict(
        f"{plan.output}: has the results of another run; name another --output-dir, or resume "
        f"that run: speechkit slurm rerun {plan.output}"
    )


def _rehearse(plan: RunPlan) -> None:
    """Run the stage over an empty manifest. Raises `UsageError` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.jsonl"
        empty.touch()
        arguments = [str(empty), *plan.options, "--output", f"{folder}/out.jsonl"]
        if any(option.partition("=")[0] == "--output-dir" for option in plan.options):
            arguments += ["--output-dir", folder]
        rehearse(plan.stage, arguments, plan.folder)


def _incomplete(record: RunRecord, status: Status, *, retry_failed: bool) -> set[int]:
    by_merge = os.environ.get("SLURM_JOB_ID") == str(record.merge)
    splits = {
        split.number for split in status.incomplete if not (by_merge and split.reason == CANCELLED)
    }
    if retry_failed:
        splits |= {split.number for split in status.finished if split.errors}
    return splits


def _needs_no_merge(status: Status) -> bool:
    return status.merge is None or status.merged or status.merging or status.live


def _restore_input(plan: RunPlan) -> Submission | None:
    """Restore the input of the run, and return what was submitted for that.

    Missing or truncated split files are written again, with the same bytes. Incomplete splits of an
    earlier stage are submitted again.
    """
    if plan.after is None:
        layout = plan.layout
        try:
            layout.require_sources()
        except UsageError:
            index = layout.index
            split_manifest(
                SplitOptions(index.parent, len(index.splits), layout.splits, by=index.by)
            )
        return None
    earlier = read_record(plan.after)
    if earlier and status_of(earlier, need_queue=True).incomplete:
        return rerun(plan.after)
    return None


def _earlier_record(plan: RunPlan) -> RunRecord | None:
    return read_record(plan.after) if plan.after else None


def _cancel_waiting_merge(record: RunRecord) -> None:
    """Cancel a queued merge, but not a running one, which may be the caller of the rerun."""
    for queued in slurm.queue(os.getuid()):
        if queued.job == record.merge and queued.waits:
            slurm.cancel(queued.job)
