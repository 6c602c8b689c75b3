"""Job arrays over the splits of a manifest, and the merge after them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import speechkit
from speechkit.cluster import runs
from speechkit.cluster.runs import Array, ClusterRun, Submitted, chunks
from speechkit.cluster.status import CANCELLED, Status, status
from speechkit.errors import OutputConflict, UsageError
from speechkit.io import slurm
from speechkit.io.split_index import array_text
from speechkit.runtime import interpreter
from speechkit.splitting.split import SplitOptions, split_manifest


def submit(run: ClusterRun) -> str:
    """Submits arrays for all splits, and the merge; says what it has submitted.

    The stage is first run over nothing, which checks its options and fetches its model. The same
    run once more is only reported on. Raises `OutputConflict` where another one has this folder.
    """
    layout = run.layout
    before = runs.load(run.output)
    if not (before and before.arrays):
        _rehearse(run)
    with runs.locked(run.output):
        before = runs.load(run.output)
        if before and before.arrays and before.run.same(run):
            return f"submitted already\n{status(run.output).text()}"
        if before and before.arrays:
            raise OutputConflict(
                f"{run.output}: has the results of another run; name another --output-dir, or go "
                f"on with that one: speechkit slurm rerun {run.output}"
            )
        if run.after is None:
            layout.require_sources()
        everything = range(len(layout.index.splits))
        return _submit(Submitted(run), everything, _arrays(run.after), run.reruns)


def rerun(
    output: str,
    reruns: int | None = None,
    *,
    sbatch: Sequence[str] = (),
    retry_failed: bool = False,
) -> str:
    """Submits what is neither done nor under way once more, and the merge after it.

    With ``retry_failed`` also the splits in which utterances failed, for these. Split files that
    are gone are made anew; where the input is another run's results, that one's come first.
    ``reruns``: how often the merge is to do this again, None: as often as it was submitted with.
    ``sbatch``: options that come after the run's own, from now on. What SLURM knows to be
    cancelled is left alone where the run's own merge asks. Raises `SchedulerFailed` where SLURM
    doesn't say what is under way.
    """
    if runs.load(output) is None:
        raise UsageError(
            f"{output}: nothing was submitted from here ({runs.record(output)} is not there); "
            "run the splits that `speechkit slurm status` names with sbatch --array"
        )
    with runs.locked(output):
        submitted = runs.load(output)
        assert submitted
        report = status(output, ask=True)
        run = replace(submitted.run, sbatch=(*submitted.run.sbatch, *sbatch))
        todo = _todo(submitted, report, retry_failed=retry_failed)
        if not todo and (report.merged or report.merging or report.live or not run.merged):
            return f"nothing to run again\n{report.text()}"
        lines = []
        if run.after is None:
            _mend_splits(run)
        elif runs.load(run.after) and status(run.after, ask=True).incomplete:
            lines.append(rerun(run.after))
        for task in slurm.queue(os.getuid()):
            if task.job == submitted.merge and task.waits:  # one that runs may be who asks for this
                slurm.cancel(task.job)
        more = ["--retry-failed"] if retry_failed else []
        times = run.reruns if reruns is None else reruns
        lines.append(_submit(replace(submitted, run=run), todo, _arrays(run.after), times, more))
        return "\n".join(lines)


def _todo(submitted: Submitted, report: Status, *, retry_failed: bool) -> set[int]:
    by_merge = os.environ.get("SLURM_JOB_ID") == str(submitted.merge)
    todo = {
        split.number for split in report.incomplete if not (by_merge and split.reason == CANCELLED)
    }
    if retry_failed:
        todo |= {split.number for split in report.finished if split.errors}
    return todo


def _rehearse(run: ClusterRun) -> None:
    """The stage over an empty manifest: options, packages and model are there, or it says so."""
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder) / "nothing.jsonl"
        nothing.touch()
        command = interpreter.command("speechkit.cli", run.stage, str(nothing), *run.options)
        command += ["--output", f"{folder}/out.jsonl"]
        if any(option.partition("=")[0] == "--output-dir" for option in run.options):
            command += ["--output-dir", folder]
        done = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = done.stderr.strip().rpartition("speechkit: ")[2]
        raise UsageError(f"{run.stage} would not run: {words}")


def _mend_splits(run: ClusterRun) -> None:
    """Writes split files that are gone or cut short once more: the same input, the same bytes."""
    layout = run.layout
    try:
        layout.require_sources()
    except UsageError:
        index = layout.index
        split_manifest(SplitOptions(index.parent, len(index.splits), layout.splits, by=index.by))


def _arrays(output: str | None) -> list[int]:
    """The job arrays of a run that SLURM still works on."""
    submitted = runs.load(output) if output else None
    if not (output and submitted):
        return []
    ours = {array.job for array in submitted.arrays}
    return sorted({task.array for task in slurm.queue(runs.owner(output)) if task.lives} & ours)


def _submit(
    submitted: Submitted,
    splits: Collection[int],
    wait_for: Sequence[int],
    reruns: int,
    more: Sequence[str] = (),
) -> str:
    """Keeps the record up to date at each step, so that no job is ever forgotten."""
    run = submitted.run
    logs = Path(run.output) / "slurm" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    runs.save(submitted)
    lines = []
    for offset, indices in chunks(splits, slurm.array_limit()).items():
        at_once = f"%{run.at_once}" if run.at_once else ""
        array = f"--array={array_text(indices)}{at_once}"
        job = slurm.submit(
            scripts() / f"{run.stage}.slurm",
            [*run.options, *more],
            _options(run, f"{run.stage}-%A_%a", [array, *_after(wait_for)]),
            {**_variables(run), "SPLIT_OFFSET": str(offset)},
        )
        submitted = replace(submitted, arrays=(*submitted.arrays, Array(job, offset)))
        runs.save(submitted)
        first = f", from split {offset} on" if offset else ""
        lines.append(f"job {job}: {run.stage} {array}{first}")
    if run.merged:
        merge = slurm.submit(
            scripts() / "merge.slurm",
            run.export,
            _options(_without_gpus(run), "merge-%j", _after(_arrays(run.output))),
            {**_variables(run), "MERGED": run.merged, "RERUNS": str(reruns)},
        )
        runs.save(replace(submitted, merge=merge))
        lines.append(f"job {merge}: merges into {run.merged} when these have ended")
    lines.append(f"how far it is: speechkit slurm status {run.output}")
    return "\n".join(lines)


def _options(run: ClusterRun, log: str, more: Sequence[str]) -> list[str]:
    logs = f"{run.output}/slurm/logs".replace("%", "%%")
    return [f"--chdir={run.folder}", f"--output={logs}/{log}.log", *run.sbatch, *more]


def _without_gpus(run: ClusterRun) -> ClusterRun:
    """For the merge, which has no use for any."""
    gpus = ("--gres", "--gpu", "--cpus-per-gpu", "--mem-per-gpu", "-G")
    return replace(run, sbatch=tuple(one for one in run.sbatch if not one.startswith(gpus)))


def _after(jobs: Sequence[int]) -> list[str]:
    """Whatever becomes of them: what is there and what isn't is for the merge to say."""
    return [f"--dependency=afterany:{':'.join(map(str, jobs))}"] if jobs else []


def _variables(run: ClusterRun) -> dict[str, str]:
    layout = run.layout
    return {
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "SPLITS_DIR": layout.splits,
        "INPUT_DIR": layout.input,
        "OUTPUT_DIR": layout.output,
        "REQUEUES": str(run.requeues),
    }


def scripts() -> Path:
    """The folder of the batch scripts: the checkout's, or where an install puts it."""
    above = Path(speechkit.__file__).parents
    checkout = above[2] / "slurm"
    return checkout if checkout.is_dir() else above[4] / "share" / "speechkit" / "slurm"
