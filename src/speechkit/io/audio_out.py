"""Audio out: a waveform to a file that is seen whole or not at all."""

from __future__ import annotations

import errno
import io
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.errors import NameImpossible
from speechkit.io import atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("wav", "flac")
ITS_NAME = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


def write(path: Path, waveform: NDArray[np.float32], sample_rate: int, form: str) -> None:
    """Mono samples in -1..1 as 16-bit integers; ``form`` is one of `FORMATS`.

    Written in TMPDIR first, which has to be on the same disk: a run's folder that is swept after a
    kill. Raises `OutputFailed`, and `NameImpossible` where it is this one's name that fails.
    """
    import soundfile

    encoded = io.BytesIO()  # libsndfile tells of a full disk on stderr alone
    soundfile.write(encoded, waveform, sample_rate, format=form.upper(), subtype="PCM_16")
    temporary = Path(tempfile.gettempdir()) / secrets.token_hex(8)
    with atomic.output_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            if path.is_symlink():
                raise FileExistsError(errno.EEXIST, "a link stands there")
        except OSError as e:
            if e.errno not in ITS_NAME:
                raise
            raise NameImpossible(f"{path}: can't be made: {e.strerror}") from e
        with atomic.renamed(temporary, path) as file:
            file.write(encoded.getbuffer())
