"""A real SLURM of one node, and a folder whose splits go through it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

import forkkit
import runkit
import sphinxkit
from speechkit.runtime.interpreter import command

ROOT = Path(__file__).resolve().parents[2]
LOCAL_SLURM = ROOT / "scripts" / "local_slurm.sh"
UTTERANCES = 24
SLOW = ("--", "--engine", "patient")  # options of asr, for a task that is to be harmed
QUICK = ("--", *sphinxkit.QUICK)
BIN = Path(sys.executable).parent
STAGE = command("speechkit.cli")  # what a stage's process begins with
until = partial(runkit.until, every=0.05)  # each time a program of SLURM's may be asked
LIVING = ("RUNNING", "COMPLETING", "PENDING", "CONFIGURING", "REQUEUED")


@dataclass
class Cluster:
    folder: Path
    environment: dict[str, str]

    def ask(self, *command: object, cwd: Path | None = None, **env: object) -> str:
        """What a command prints that has to succeed."""
        done = self.run(*command, cwd=cwd, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(
        self, *command: object, cwd: Path | None = None, **env: object
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**self.environment, **{name: str(value) for name, value in env.items()}},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def sbatch(self, *command: object, cwd: Path | None = None, **env: object) -> int:
        return int(self.ask("sbatch", "--parsable", *command, cwd=cwd, **env))

    def preempt(self, job: int, index: int) -> None:
        """What SLURM itself sends ahead of a limit; its exit code doesn't tell of it."""
        self.run("scancel", "--batch", "--signal=USR1", f"{job}_{index}")

    def states(self, *jobs: int) -> dict[str, str]:
        """SLURM's word for each task, by ``JOB_INDEX`` or ``JOB``."""
        listed = self.ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T")
        found = dict(line.split("|") for line in listed.splitlines())
        return {name: state for name, state in found.items() if int(name.partition("_")[0]) in jobs}

    def wait(self, *jobs: int, seconds: float = 240.0) -> dict[str, str]:
        """The states at the end."""

        def over() -> bool:
            return not set(self.states(*jobs).values()) & set(LIVING)

        runkit.until(over, seconds, f"jobs {jobs} never ended", every=0.8)
        return self.states(*jobs)

    def processes(self, job: int, index: int) -> list[psutil.Process]:
        """Those of a task of this cluster, its batch script's first."""
        variables = {
            "SLURM_CONF": self.environment["SLURM_CONF"],
            "SLURM_ARRAY_JOB_ID": str(job),
            "SLURM_ARRAY_TASK_ID": str(index),
        }
        processes = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if variables.items() <= process.environ().items():
                    processes.append(process)
        return sorted(processes, key=lambda process: process.create_time())

    def supervisor_of(self, job: int, index: int) -> psutil.Process:
        """The process that a task's batch script has become."""
        return self._process(job, index, ["slurm", "task"])

    def stage_of(self, job: int, index: int) -> psutil.Process:
        """The process of a task's stage."""
        return self._process(job, index, STAGE[1:])

    def _process(self, job: int, index: int, words: list[str]) -> psutil.Process:
        def find() -> psutil.Process | None:
            for process in self.processes(job, index):
                with suppress(psutil.Error):
                    line = process.cmdline()
                    if words in (line[1:3], line[2:4]):
                        return process
            return None

        what = f"the task never started {' '.join(words)}"
        process: psutil.Process = runkit.until(find, 60, what, every=0.15)
        return process

    def kill(self, job: int, index: int) -> None:
        """All of a task at once, so that nobody is left to say so."""
        processes = self.processes(job, index)
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
        for process in processes:
            with suppress(psutil.Error):
                process.kill()


@contextmanager
def running(folder: Path, engines: Mapping[str, str]) -> Iterator[Cluster]:
    environment = {**os.environ, **engines, "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin"}
    environment.pop("SLURM_CPUS_PER_TASK", None)
    started = subprocess.run(
        [LOCAL_SLURM, "start", folder],
        env={**environment, "CPUS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        assert started.returncode == 0, started.stderr
        yield Cluster(folder, {**environment, "SLURM_CONF": str(folder / "slurm.conf")})
    finally:
        subprocess.run([LOCAL_SLURM, "stop", folder], check=True, timeout=60)


@dataclass
class Work:
    """A manifest in a folder with a space in its name, and what becomes of its splits."""

    cluster: Cluster
    folder: Path
    manifest: Path
    output: Path = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.folder / "output"

    def speechkit(
        self, *arguments: object, code: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """``code``: None for any."""
        variables = {**self.cluster.environment, **env}
        ran = forkkit.run([*map(str, arguments)], env=variables, cwd=self.folder)
        done = subprocess.CompletedProcess(
            ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode()
        )
        assert code in (None, done.returncode), f"{done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def submit(self, *arguments: object, code: int = 0) -> list[int]:
        """The numbers of the jobs."""
        one_cpu = "--sbatch=--cpus-per-task=1"
        done = self.speechkit("slurm", "submit", one_cpu, *arguments, code=code)
        return self.jobs(done.stderr)

    def rerun(self, *arguments: object) -> list[int]:
        return self.jobs(self.speechkit("slurm", "rerun", self.output, *arguments).stderr)

    def jobs(self, said: str) -> list[int]:
        return [
            int(line.split(":")[0].split()[1])
            for line in said.splitlines()
            if line.startswith("job ")
        ]

    def status(self) -> dict[str, Any]:
        done = self.speechkit("slurm", "status", self.output, "--json", code=None)
        assert done.returncode in (0, 4), done.stderr
        found = json.loads(done.stdout)
        assert found["complete"] == (done.returncode == 0)
        return found

    def states(self) -> list[str]:
        return [split["state"] for split in self.status()["splits"]]

    def log(self, stage: str = "asr") -> str:
        logs = sorted((self.output / "slurm" / "logs").glob(f"{stage}-*.log"))
        return "".join(path.read_text() for path in logs)

    def result(self, split: int) -> Path:
        return self.output / f"data_split_{split:02}.jsonl"

    def part(self, split: int) -> Path:
        return Path(f"{self.result(split)}.part")

    def answered(self, split: int) -> int:
        """Utterances in the unfinished result."""
        part = self.part(split)
        return max(0, part.read_bytes().count(b"\n") - 1) if part.exists() else 0
