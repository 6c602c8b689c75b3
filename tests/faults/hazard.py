"""A stage that does to its worker what each utterance says: a processor for the runner, no model.

``python -m hazard IN OUT [--batched] [--time-limit X] [--workers N] [--batch-audio X] [--gpus N
N]``. An
utterance's ``do``: nothing, ``abort``, ``kill``, ``hang``, ``hang-gil`` (a C call that never lets
go of the interpreter), ``slow`` (one second), ``raise``, ``exit``. With ``parts``, a list of such
deeds, it is divided into as many parts, which are noted in the file named by its ``log``.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechkit.errors import ResultTooLong, SpeechkitError
from speechkit.io.inputs import Inputs
from speechkit.records import Division, Record, Utterance
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.runner import Runner, RunOptions
from speechkit.runtime.stage import Loaded, Processor, Stage
from speechkit.runtime.stopping import StopRequest


@dataclass
class HazardProcessor(Processor):
    one_by_one: bool
    opening: str | None = None

    def open(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.opening:
            with open(self.opening, "a") as opened:
                opened.write(".")
        if os.environ.get("HAZARD_OPEN"):
            _do(os.environ["HAZARD_OPEN"])

    def load(self, utterance: Utterance) -> Loaded:
        return Loaded(utterance, utterance.record.get("do"), utterance.duration or 0.0)

    def divide(self, loaded: Loaded) -> Division | None:
        utterance = loaded.utterance
        if "parts" not in utterance.record:
            return None
        edges = range(len(utterance.record["parts"]) + 1)
        return Division(tuple(map(float, edges)), {"a": 1})

    def expected_parts(self, seconds: float) -> int:
        return int(seconds // 100)

    def join(
        self, utterance: Utterance, division: Division, results: Sequence[Record]
    ) -> list[Record]:
        if any(result.get("do") == "unjoinable" for result in results):
            raise ResultTooLong("these can't be joined")
        return [{**utterance.record, **division.known, "results": list(results)}]

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        for loaded in batch:
            part = loaded.utterance.part
            if part:
                with open(loaded.utterance.record["log"], "a") as log:
                    log.write(f"{part.number}\n")
                deed = loaded.utterance.record["parts"][part.number]
                _do(deed)
                result = {"part": part.number, "offset": loaded.utterance.offset, "do": deed}
                yield [{**result, "pid": os.getpid()}]
                continue
            if loaded.data:
                _do(loaded.data)
            gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
            seen = {"gpu": gpu} if gpu else {}
            yield [{**loaded.utterance.record, "pid_free": "done", **seen}]


def _do(what: str) -> None:
    match what:
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(600)
        case "hang-gil":
            ctypes.PyDLL(None).sleep(600)
        case "slow":
            time.sleep(1)
        case "raise":
            raise ArithmeticError("this one can't be computed")
        case "exit":
            sys.exit(7)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--batched", action="store_true")
    parser.add_argument("--batch-audio", type=float, default=10.0)
    parser.add_argument("--time-limit", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--opening")
    parser.add_argument("--gpus", nargs="*", default=())
    given = parser.parse_args()
    stage = Stage(
        name="hazard",
        processor=_processor(not given.batched, given.opening),
        batch_audio=given.batch_audio,
        options={"b": given.batched},
    )
    pool = PoolOptions(workers=given.workers, time_limit=given.time_limit, gpus=tuple(given.gpus))
    options = RunOptions(output=given.output, pool=pool)
    try:
        with Inputs([given.input]) as inputs, StopRequest(signals=True) as stop:
            runner = Runner(stage, inputs, options, stop)
            runner.write(Path(given.output))
            summary = runner.summary()
    except SpeechkitError as e:
        print(f"speechkit: {e}", file=sys.stderr)
        sys.exit(e.exit_code)
    print(summary.errors, file=sys.stderr)
    sys.exit(summary.exit_code)


def _processor(one_by_one: bool, opening: str | None) -> HazardProcessor:
    """Of the importable module, not of ``__main__``, so that it can be unpickled elsewhere."""
    import hazard

    processor: HazardProcessor = hazard.HazardProcessor(one_by_one, opening)
    return processor


if __name__ == "__main__":
    main()
