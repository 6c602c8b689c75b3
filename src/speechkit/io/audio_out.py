"""Audio out: a waveform to a file that is seen whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
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

    encoded = io.BytesIO()  # libsndfile tells of a full disk on stderr alone
    soundfile.write(encoded, waveform, sample_rate, format=form.upper(), subtype="PCM_16")
    temporary = Path(tempfile.gettempdir()) / secrets.token_hex(8)
    with atomic.output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.refuse_special(path)
        with open(temporary, "xb") as file:
            file.write(encoded.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
