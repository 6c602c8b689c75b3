"""File names: shortened to a file system's limit, printable, and in Unicode's canonical forms.

An ü is one character (NFC, as most keyboards and file systems have it) or two (NFD, as macOS wrote
it). Both look alike, but a file system takes them for two names. So do manifests: a path is an
identity, and it distinguishes inputs from outputs. Therefore `unicode_hint` only names the form
that exists; reference texts, which are nobody's identity, are found in either (`FileNames`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import is_normalized, normalize

MOST_BYTES = 255  # of a name in any usual file system
#: Control characters, line separators, marks of direction (Unicode's annex 9), half characters.
_MOVES = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shorten(name: str, most: int) -> str:
    """A name of at most so many bytes: a longer one is cut and gets a digest to stay unique."""
    try:
        raw = os.fsencode(name.replace("\0", ""))
    except UnicodeEncodeError:  # half of a character, from JSON
        raw = name.encode("utf-8", "replace")
    if len(raw) <= most:
        return os.fsdecode(raw)
    digest = hashlib.sha256(raw).hexdigest()[:12]
    return raw[: most - 13].decode(errors="ignore") + "-" + digest


def shown(text: object) -> str:
    """The text as part of a message: harmless to a terminal, and on a single line."""
    return harmless(str(text)).replace("\n", "\\n")


def harmless(text: str) -> str:
    """The text with characters escaped that move a terminal's cursor or reverse the order of text.

    Line feeds stay.
    """
    return _MOVES.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class FileNames:
    """Names that are found in either Unicode form; an exact match comes first."""

    def __init__(self, names: Iterable[str]) -> None:
        self.all = frozenset(names)
        self._by_form = {normalize("NFC", name): name for name in self.all if not name.isascii()}

    def find(self, name: str) -> str | None:
        if name in self.all:
            return name
        return self._by_form.get(normalize("NFC", name)) if self._by_form else None


def unicode_hint(path: str) -> str:
    """The end of a sentence about a missing path, if it exists in another Unicode form; else ""."""
    existing = _in_another_form(path)
    if existing is None:
        return ""
    forms = [form for form in ("NFC", "NFD") if is_normalized(form, existing)]
    return (
        f"; the same name in another Unicode form ({forms[0] if forms else 'NFC and NFD mixed'}) "
        f"is there: {json.dumps(existing)}; write it so, or rename the file"
    )


def _in_another_form(path: str) -> str | None:
    """The path as it exists; None where nothing exists, or where it exists as it is written."""
    existing, differs = "/" if path.startswith("/") else "", False
    for part in filter(None, path.split("/")):
        step = os.path.join(existing, part)  # noqa: PTH118
        if not os.path.lexists(step):
            name = None if part.isascii() else _names(existing or ".").find(part)
            if name is None:
                return None
            step, differs = os.path.join(existing, name), True  # noqa: PTH118
        existing = step
    return existing if differs else None


def _names(folder: str) -> FileNames:
    try:
        return _listed(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116
    except OSError:
        return FileNames(())


@lru_cache(maxsize=1)  # many names may be missing in one folder
def _listed(folder: str, _: int) -> FileNames:
    return FileNames(os.listdir(folder))  # noqa: PTH208
