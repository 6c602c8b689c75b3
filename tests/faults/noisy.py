"""A stage whose workers log and print at once, as much as they can.

``python -m noisy IN OUT WORKERS``, logging in JSON. Each utterance gives a long record,
a line without an object, and a warning of Python's.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from speechkit.errors import SpeechkitError
from speechkit.records import Record, Utterance
from speechkit.runtime import job, logs
from speechkit.runtime.job import JobOptions
from speechkit.runtime.logs import LogSettings
from speechkit.runtime.stage import Loaded, Processor, Stage

LONG = "long " * 2000  # more than a pipe takes in one piece
log = logging.getLogger("speechkit.noisy")


@dataclass
class NoisyProcessor(Processor):
    one_by_one: bool = True

    def open(self) -> None:
        os.write(2, b"a library says hello\n")

    def load(self, utterance: Utterance) -> Loaded:
        return Loaded(utterance, None, 1.0)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        for loaded in batch:
            number = loaded.utterance.index
            log.warning("%s", LONG, extra={"event": "long", "number": number})
            os.write(2, f"bare line {number}\n".encode())
            warnings.warn(f"of a library {number}", stacklevel=1)
            yield [loaded.utterance.record]


def main() -> None:
    source, output, workers = sys.argv[1:]
    logs.configure(LogSettings(form="json", places={"stage": "noisy"}))
    import noisy

    stage = Stage(name="noisy", processor=noisy.NoisyProcessor(), batch_audio=5.0, options={})
    options = JobOptions(output=output, workers=int(workers))
    try:
        job.run(stage, [source], options, signals=True)
    except SpeechkitError as e:
        logs.say(str(e), "error", "error", exit_code=e.exit_code)
        sys.exit(e.exit_code)


if __name__ == "__main__":
    main()
