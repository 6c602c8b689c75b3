"""``python -m crowded MODEL INPUT FOLDER FITS``: asr with the whisper engine on a device that holds
FITS windows at once and says so as torch does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from speechkit.runtime import job
from speechkit.runtime.job import JobOptions
from speechkit.runtime.stage import Stage
from speechkit.stages.asr.stage import AsrOptions, AsrProcessor


class CrowdedProcessor(AsrProcessor):
    def open(self) -> None:
        import torch

        super().open()
        backend: Any = self._engine._backend  # type: ignore[attr-defined]
        encode, fits = backend.encode, int(os.environ["CROWDED_FITS"])

        def crowded(features: Any) -> Any:
            if len(features) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return encode(features)

        backend.encode = crowded


def main() -> None:
    import crowded

    model, source, folder, fits = sys.argv[1:]
    os.environ["CROWDED_FITS"] = fits
    decoding = AsrOptions("whisper", model, decoding={"language": "en", "temperature": (0.0,)})
    processor = crowded.CrowdedProcessor(decoding, {"batch_size": 8}, one_by_one=False)
    stage = Stage("asr", processor, 1000.0, {}, error_keys={"pred_text": ""})
    options = JobOptions(output=str(Path(folder) / "out.jsonl"), workers=1)
    summary = job.run(stage, [source], options)
    (Path(folder) / "summary.json").write_text(json.dumps(summary.to_json()))
    sys.exit(summary.exit_code)


if __name__ == "__main__":
    main()
