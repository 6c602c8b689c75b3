"""Audio out: a waveform to a file that is seen whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.io import atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("wav", "flac")


def write(path: Path, waveform: NDArray[np.float32], sample_rate: int, form: str) -> None:
    """Mono samples in -1..1 as 16-bit integers; ``form`` is one of `FORMATS`.

    Written in TMPDIR first, which has to be on the same disk: a run's folder that is swept after a
    kill. Raises `OutputFailed`.
    """
    import soundfile

    with atomic.output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.refuse_special(path)
        handle, name = tempfile.mkstemp(suffix=f".{form}")
        with os.fdopen(handle, "w+b") as file:
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            soundfile.write(file, waveform, sample_rate, format=form.upper(), subtype="PCM_16")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
