"""File names: in Unicode's canonical forms, and as long as file systems take.

An ü is one character (NFC, as most keyboards and file systems have it) or two (NFD, as macOS wrote
it). Both look alike, and a file system takes them for two names. So do manifests: a path is an
identity, and what is written to is told from what is read by it. Hence `hint` names the form that
is there; only references, which are nobody's identity, are found under another one (`FileNames`).
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
    """A name of at most so many bytes: longer ones are cut, and told apart by a digest."""
    try:
        raw = os.fsencode(name.replace("\0", ""))
    except UnicodeEncodeError:  # half of a character, from JSON
        raw = name.encode("utf-8", "replace")
    if len(raw) <= most:
        return os.fsdecode(raw)
    digest = hashlib.sha256(raw).hexdigest()[:12]
    return raw[: most - 13].decode(errors="ignore") + "-" + digest


def shown(text: object) -> str:
    """As `harmless`, on one line: for a name in a message."""
    return harmless(str(text)).replace("\n", "\\n")


def harmless(text: str) -> str:
    """The text with what moves a terminal's cursor, or the order of what it shows, written out;
    line feeds stay."""
    return _MOVES.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class FileNames:
    """FileNames among which one is found whatever its form, itself first."""

    def __init__(self, names: Iterable[str]) -> None:
        self.all = frozenset(names)
        self._by_form = {normalize("NFC", one): one for one in self.all if not one.isascii()}

    def find(self, name: str) -> str | None:
        if name in self.all:
            return name
        return self._by_form.get(normalize("NFC", name)) if self._by_form else None


def unicode_hint(path: str) -> str:
    """What to add to a sentence about a path that is not there, if its name is in another form."""
    there = _in_another_form(path)
    if there is None:
        return ""
    forms = [form for form in ("NFC", "NFD") if is_normalized(form, there)]
    return (
        f"; the same name in another Unicode form ({forms[0] if forms else 'NFC and NFD mixed'}) "
        f"is there: {json.dumps(there)}; write it so, or rename the file"
    )


def _in_another_form(path: str) -> str | None:
    found, differs = "/" if path.startswith("/") else "", False
    for part in filter(None, path.split("/")):
        step = os.path.join(found, part)  # noqa: PTH118
        if not os.path.lexists(step):
            name = None if part.isascii() else _names(found or ".").find(part)
            if name is None:
                return None
            step, differs = os.path.join(found, name), True  # noqa: PTH118
        found = step
    return found if differs else None


def _names(folder: str) -> FileNames:
    try:
        return _listed(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116
    except OSError:
        return FileNames(())


@lru_cache(maxsize=1)  # many names may be missing in one folder
def _listed(folder: str, _: int) -> FileNames:
    return FileNames(os.listdir(folder))  # noqa: PTH208
