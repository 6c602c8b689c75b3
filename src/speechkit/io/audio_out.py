"""Audio out: writes a waveform to a file that appears complete or not at all."""

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
NAME_ERRORS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


def write(path: Path, waveform: NDArray[np.float32], sample_rate: int, form: str) -> None:
    """Write mono samples in -1..1 as 16-bit integers; ``form`` is one of `FORMATS`.

    The file is written in TMPDIR first, which has to be on the same disk: the run's folder, which
    is removed after a kill. Raise `OutputFailed`, and `NameImpossible` where the name itself fails.
    """
    import soundfile

    encoded = io.BytesIO()  # libsndfile reports a full disk only on stderr
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
            if e.errno not in NAME_ERRORS:
                raise
            raise NameImpossible(f"{path}: can't be made: {e.strerror}") from e
        with atomic.renamed(temporary, path) as file:
            file.write(encoded.getbuffer())
