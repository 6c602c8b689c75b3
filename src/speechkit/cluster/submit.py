"""Submit a run to SLURM, and submit again what is missing of it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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
from speechkit.io.process_failure import outcome_file
from speechkit.runtime import interpreter
from speechkit.splitting.split import SplitOptions, split_manifest


def submit(plan: RunPlan) -> Submission:
    """Submit arrays for all splits, and the merge.

    The stage first runs over an empty manifest, which checks its options and fetches its model. A
    run that was submitted before is only reported on. Raises `OutputConflict` where the output
    folder has the results of another run.
    """
    layout = plan.layout
    submitted = read_record(plan.output)
    if not (submitted and submitted.arrays):
        _rehearse(plan)  # before the lock, whose file is not to be left where this fails
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
    """Submit the splits that are neither done nor under way once more, and the merge after them.

    ``retry_failed`` adds the splits in which utterances failed, for these. Split files that are
    gone are written anew; where the input is the output of an earlier stage, its missing splits
    come first. ``reruns``: rounds in which the merge does the same, None for the number that the
    run was submitted with. ``sbatch``: options that follow the run's own, from now on. A merge
    leaves alone what SLURM knows to be cancelled. Raises `UsageError` where nothing was submitted,
    and `SchedulerFailed` where SLURM doesn't say what is under way.
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
        f"{plan.output}: has the results of another run; name another --output-dir, or go "
        f"on with that one: speechkit slurm rerun {plan.output}"
    )


def _rehearse(plan: RunPlan) -> None:
    """Run the stage over an empty manifest. Raises `UsageError` where it fails."""
    with tempfile.TemporaryDirectory() as folder, outcome_file() as file:
        empty = Path(folder) / "empty.jsonl"
        empty.touch()
        command = interpreter.command("speechkit.cli", plan.stage, str(empty), *plan.options)
        command += ["--output", f"{folder}/out.jsonl"]
        if any(option.partition("=")[0] == "--output-dir" for option in plan.options):
            command += ["--output-dir", folder]
        done = subprocess.run(
            command,
            cwd=plan.folder,
            env={**os.environ, **file.variables},
            pass_fds=file.descriptors,
            capture_output=True,
            text=True,
            check=False,
        )
        outcome = file.read()
    if done.returncode:
        reason = outcome.message if outcome else done.stderr.strip()
        raise UsageError(f"{plan.stage} would not run: {reason or f'exit code {done.returncode}'}")


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
    """Write split files that are gone or cut short anew, which gives the same bytes, or submit the
    missing splits of the earlier stage again."""
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
    """Leaves alone a merge that runs, which may be who asks for the rerun."""
    for queued in slurm.queue(os.getuid()):
        if queued.job == record.merge and queued.waits:
            slurm.cancel(queued.job)
