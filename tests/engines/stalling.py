"""``python -m stalling MODEL INPUT OUT SAMPLES``: asr with the nemo engine, whose model hangs in
its forward pass on windows of exactly so many samples."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import Any

from speechkit import cli
from speechkit.stages.asr import stage as asr
from speechkit.stages.asr.stage import AsrProcessor


class StallingProcessor(AsrProcessor):
    def open(self) -> None:
        super().open()
        model: Any = self._engine._model  # type: ignore[attr-defined]
        forward, culprit = model.forward, int(os.environ["STALLING_SAMPLES"])

        def stalling(*args: Any, **more: Any) -> Any:
            if culprit in more["input_signal_length"].tolist():
                time.sleep(600)
            return forward(*args, **more)

        model.forward = stalling


def main() -> None:
    import stalling  # the importable module: the processor is unpickled elsewhere

    model, source, out, os.environ["STALLING_SAMPLES"] = sys.argv[1:]
    made = asr.asr_stage

    def stage(*options: Any) -> Any:
        whole = made(*options)
        processor: Any = whole.processor
        hanging = stalling.StallingProcessor(
            processor.options, processor.device, processor.one_by_one
        )
        return replace(whole, processor=hanging)

    asr.asr_stage = stage
    options = ["--engine", "nemo", "--model", model, "--workers", "1", "--time-limit", "1"]
    sys.argv = ["speechkit", "asr", source, "-o", out, *options]
    cli.main()


if __name__ == "__main__":
    main()
