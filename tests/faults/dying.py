"""The command line, killed -9 before the N-th line it runs of the files that keep the results.

``python -m dying N ARGS…``; where N is 0 it lives and says on the last line of stderr how many
lines there were, and how many of them since it began to publish. ``pN``: the N-th of those.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import speechkit.io.atomic
import speechkit.io.journal
import speechkit.io.part_file
import speechkit.stages.embed.shard_writer
from speechkit import cli
from speechkit.io.part_file import PartFile
from speechkit.runtime.runner import Runner

WATCHED = (
    speechkit.io.atomic.__file__,
    speechkit.io.journal.__file__,
    speechkit.io.part_file.__file__,
    speechkit.stages.embed.shard_writer.__file__,
    Runner.write.__code__,
)


def main() -> None:
    last = sys.argv.pop(1)
    lines = publishing = 0

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal lines, publishing
        if event == "line":
            lines += 1
            publishing += bool(publishing)
            if last in (str(lines), f"p{publishing - 1}"):
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal publishing
        if frame.f_code is PartFile.publish.__code__:
            publishing = 1
        watched = frame.f_code.co_filename in WATCHED or frame.f_code in WATCHED
        return line if watched else None

    sys.settrace(call)
    try:
        cli.main()
    finally:
        sys.settrace(None)
        print(lines, publishing - 1, file=sys.stderr)


if __name__ == "__main__":
    main()
