"""The backend of the last model, kept for engines that differ only in how they decode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.io.checksums import file_stamp

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Backend
    from speechkit.engines.asr.whisper.options import WhisperOptions

Key = tuple[object, ...]
_kept: dict[Key, Backend] = {}  # one at most


def kept(build: Callable[[WhisperOptions], Backend], options: WhisperOptions) -> Backend:
    """The last backend, if it is of the same model, unchanged, on the same device; else a new one.

    The last one is freed before another is built. Its parts are counted from here on. Raise as
    ``build``.
    """
    files = sorted(path for path in Path(options.model).glob("*") if path.is_file())
    stamps = tuple((path.name, file_stamp(str(path))) for path in files)
    key: Key = (build, options.model, options.device, options.compute_type, stamps)
    if key not in _kept:
        _kept.clear()
        _kept[key] = build(options)
    backend = _kept[key]
    backend.parts.clear()
    return backend
