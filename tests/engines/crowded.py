"""The engine ``crowded``: Whisper on a device that holds CROWDED_FITS windows at once, and says so
as torch does."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from speechkit.engines.asr.whisper import INFO as WHISPER
from speechkit.engines.asr.whisper.options import WhisperOptions

INFO = replace(WHISPER, name="crowded", target="crowded:crowded")


def crowded(options: WhisperOptions) -> Any:
    import torch

    from speechkit.engines.asr.whisper.decoder import Whisper
    from speechkit.engines.asr.whisper.engine import TorchBackend

    fits = int(os.environ["CROWDED_FITS"])

    class CrowdedBackend(TorchBackend):
        def encode(self, features: Any, rows: int) -> Any:
            if len(features) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().encode(features, rows)

    return Whisper(CrowdedBackend(options), options)
