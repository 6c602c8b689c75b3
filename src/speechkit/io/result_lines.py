"""The error and the flags of an output line."""

from __future__ import annotations

from speechkit.io import typed_json


def error_type(line: bytes) -> str | None:
    """The type of the error in an output line; None where its utterance didn't fail."""
    record = typed_json.parse(line) if b'"error"' in line else None
    error = record.get("error") if isinstance(record, dict) else None
    if error is None:
        return None
    return str(error.get("type", "Error")) if isinstance(error, dict) else "Error"


def flags_of(line: bytes) -> tuple[str, ...]:
    """The flags of an output line."""
    record = typed_json.parse(line) if b'"flags"' in line else None
    flags = record.get("flags") if isinstance(record, dict) else None
    return tuple(map(str, flags)) if isinstance(flags, list) else ()
