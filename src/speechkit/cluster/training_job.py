"""A training as one job of SLURM, which queues itself again until the training is done."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from dataclasses import replace

from speechkit.cluster import attempts, supervisor, training_status
from speechkit.cluster.rehearsal import rehearse
from speechkit.cluster.run_record import locked_record
from speechkit.cluster.split_status import FAILED
from speechkit.cluster.submission import installation, job_options, scripts
from speechkit.cluster.supervisor import Work
from speechkit.cluster.training_status import (
    TrainingPlan,
    TrainingRecord,
    TrainingStatus,
    attempts_name,
    read_training,
    steps_saved,
)
from speechkit.errors import OutputConflict
from speechkit.io import slurm
from speechkit.runtime import interpreter

STAGE = "finetune"
SIGNAL = "--signal=B:USR1@300"  # time for the step in progress and a checkpoint
_GPUS_A_NODE = re.compile(r"--(?:gres=gpu:|gpus-per-node=)(?:[^:,]*[^:,\d][^:,]*:)?(\d+)")
#: Makes a task of srun one of the processes that torchrun would start. The first of them, which
#: runs beside the supervisor, hands over the reason of a failure.
_AS_OF_TORCHRUN = """\
export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
export MASTER_ADDR=$SLURM_LAUNCH_NODE_IPADDR
outcome=$SPEECHKIT_OUTCOME
unset SPEECHKIT_OUTCOME
if [ "$RANK" = 0 ]; then
    export SPEECHKIT_OUTCOME=/proc/$SUPERVISOR/fd/${outcome##*/}
fi
exec "$@"
"""


def submit(plan: TrainingPlan) -> TrainingStatus | int:
    """Submit a training, and return the number of its job, or the status of one that is queued,
    running or done.

    Its options and its model are checked first. Raises `UsageError` for what is wrong with them,
    and `OutputConflict` if the folder has another training or a run.
    """
    if read_training(plan.output) is None:
        rehearsed = [*plan.options, "--output-dir", plan.output, "--dry-run"]
        rehearse(STAGE, rehearsed, plan.folder)  # before the lock, so that a failure leaves no file
    with locked_record(plan.output) as run:
        record = read_training(plan.output)
        if run or (record and not _same_training(plan, record.plan)):
            raise OutputConflict(
                f"{plan.output}: was submitted with other options; name another --output-dir, or "
                f"resume that one: speechkit slurm rerun {plan.output}"
            )
        return _submit_unless_live(plan, record)


def rerun(record: TrainingRecord, sbatch: Sequence[str]) -> TrainingStatus | int:
    """Submit a training again, with more options for sbatch, as `submit`."""
    plan = replace(record.plan, sbatch=(*record.plan.sbatch, *sbatch))
    with locked_record(plan.output):
        return _submit_unless_live(plan, read_training(plan.output))


def run(output: str, options: Sequence[str], requeues: int) -> tuple[int, str]:
    """Train, inside a job. Returns what `supervisor.supervise` does."""
    attempt = attempts.begin(attempts_name(output), steps_saved(output))
    work = Work(
        output=attempts_name(output),
        command=_command(output, options),
        done=lambda: steps_saved(output),
        unit="steps",
        requeues=requeues,
        requeueable="SLURM_JOB_ID" in os.environ,
    )
    return supervisor.supervise(work, attempt.job)


def _same_training(one: TrainingPlan, other: TrainingPlan) -> bool:
    return one == replace(other, sbatch=one.sbatch, requeues=one.requeues)


def _submit_unless_live(plan: TrainingPlan, record: TrainingRecord | None) -> TrainingStatus | int:
    if record:
        status = training_status.status(record)
        if status.state != FAILED:
            return status
    plan.logs.mkdir(parents=True, exist_ok=True)
    job = slurm.submit(
        scripts() / "stage.slurm",
        [STAGE, *plan.options],
        [
            *job_options(plan.folder, plan.logs, STAGE, "%j"),
            SIGNAL,
            *_one_process_a_gpu(plan.sbatch),
            *plan.sbatch,
        ],
        {
            **installation(),
            "SPEECHKIT_OUTPUT_DIR": plan.output,
            "SPEECHKIT_REQUEUES": str(plan.requeues),
        },
    )
    TrainingRecord(plan, job).save()
    return job


def _one_process_a_gpu(sbatch: Sequence[str]) -> list[str]:
    """The option of sbatch, unless those that are given say how many processes there are."""
    if any(option.startswith(("--ntasks", "-n")) for option in sbatch):
        return []
    counts = [found[1] for option in sbatch if (found := _GPUS_A_NODE.match(option))]
    return [f"--ntasks-per-node={count}" for count in counts]


def _command(output: str, options: Sequence[str]) -> list[str]:
    """What the job runs: the training, or several processes of it by srun.

    Unlike torchrun, srun passes every signal on and returns the processes' exit code.
    """
    command = interpreter.command("speechkit.cli", STAGE, *options, "--output-dir", output)
    processes = _processes()
    if processes == 1:
        return command
    cpus = os.environ.get("SLURM_CPUS_PER_TASK", "1")  # srun doesn't take it from the job
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return [
        *("env", f"SUPERVISOR={os.getpid()}", f"MASTER_PORT={port}"),
        *("srun", "--kill-on-bad-exit=1", f"--ntasks={processes}", f"--cpus-per-task={cpus}"),
        *("bash", "-c", _AS_OF_TORCHRUN, "bash", *command),
    ]


def _processes() -> int:
    """Of the job, on all its nodes."""
    environment = os.environ
    a_node = int(environment.get("SLURM_NTASKS_PER_NODE") or 1)
    nodes = int(environment.get("SLURM_JOB_NUM_NODES") or 1)
    return int(environment.get("SLURM_NTASKS") or a_node * nodes)
