"""Reads a manifest item by item: the lines of JSON Lines, or the values of a JSON array.

Only one item of a file is in memory at a time, and its size is limited.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain, count
from typing import IO, Any, NoReturn

from speechkit.errors import ManifestError

#: Of an item. A line of VAD with the probabilities of 24 hours of frames takes two thirds of it.
MOST_BYTES = 64 << 20
#: Lists and objects in an item; each takes tens of times the memory of its brackets. 24 hours of
#: words with their characters have three quarters as many.
MOST_PARTS = 1 << 21
MOST_DEPTH = 100  # levels of nested lists and objects; copying to a worker adds a few
_CHUNK = 1 << 20  # bytes of an array that are read at once, at least
_SPACES = " \t\r\n"
_CLOSING = re.compile(f"[{_SPACES}]*([],])[{_SPACES}]*")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{number} is too large")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
# Twice as fast. Only with an exponent, or some 300 digits, is a number too large to be finite.
_QUICK_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_AS_ZERO = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 300


def raw_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file with their newlines; an overlong one is cut and ends the iteration.

    `line_too_long` is the error for it.
    """
    for line in iter(partial(file.readline, MOST_BYTES + 1), b""):
        yield line
        if len(line) > MOST_BYTES and not line.endswith(b"\n"):
            return


def line_too_long(where: str) -> ManifestError:
    """The error for a line of more than `MOST_BYTES`, not counting its newline."""
    return ManifestError(
        f"{where}: is longer than {MOST_BYTES >> 20} MiB, so what follows it was not read; "
        "write one utterance a line"
    )


def parse_line(line: bytes, where: str) -> Any:
    """The JSON value of a line. Raise `ManifestError`, in which ``where`` names the line."""
    if len(line) > MOST_BYTES:
        raise line_too_long(where)
    parts = line.count(b"[") + line.count(b"{") if len(line) > 2 * MOST_DEPTH else 0
    try:
        _refuse_many(parts)
        zeros = line.translate(_AS_ZERO)
        quick = b"0e" not in zeros and _MANY_DIGITS not in zeros
        text = line.decode().strip(_SPACES)
        value, end = (_QUICK_DECODER if quick else _DECODER).raw_decode(text)
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        if parts > MOST_DEPTH:
            _refuse_deep(value)
    except (ValueError, RecursionError) as e:
        raise ManifestError(f"{where}: {_reason(e)}") from e
    return value


def read_items(file: IO[bytes], name: str) -> Iterator[tuple[str, Any]]:
    """Each item with its place, for messages; blank lines are skipped.

    An item is the unparsed bytes of a line, without its newline, or a value of an array. Raise
    `ManifestError` where an array breaks off.
    """
    first, start = 1, file.readline(_CHUNK).removeprefix(b"\xef\xbb\xbf")
    while start and not start.strip():
        first, start = first + 1, file.readline(_CHUNK)
    if start.lstrip().startswith(b"["):
        yield from _array_items(start, file, name)
        return
    if not start.endswith(b"\n"):
        start += file.readline(MOST_BYTES + 1 - len(start))
    following = raw_lines(file) if len(start) <= MOST_BYTES or start.endswith(b"\n") else ()
    for number, line in enumerate(chain([start], following), first):
        if line.strip():
            yield f"{name}, line {number}", line.removesuffix(b"\n")


def _array_items(start: bytes, file: IO[bytes], name: str) -> Iterator[tuple[str, Any]]:
    values = _array_values(start, file)
    for number in count(1):
        where = f"{name}, item {number}"
        try:
            value = next(values)
            _refuse_deep(value)
        except StopIteration:
            return
        except (ValueError, RecursionError) as e:
            raise ManifestError(f"{where}: {_reason(e)}") from e
        yield where, value


def _array_values(start: bytes, file: IO[bytes]) -> Iterator[Any]:
    """The values of an array that begins with ``start``. Raise the errors of a JSON decoder."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    text = decode(start).lstrip(_SPACES)[1:].lstrip(_SPACES)
    while not text and (chunk := file.read(_CHUNK)):
        text = decode(chunk).lstrip(_SPACES)
    closing, at = ("]", 1) if text.startswith("]") else (",", 0)
    while closing == ",":
        try:
            value, end = _DECODER.raw_decode(text, at)
            match = _CLOSING.match(text, end)
            if not match:
                raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
        except json.JSONDecodeError as e:  # or the value continues beyond what has been read
            text, at, position = text[at:], 0, e.pos - at
            _refuse_many(text.count("[") + text.count("{"))
            chunk = file.read(min(max(_CHUNK, len(text)), MOST_BYTES + 1 - len(text)))
            text = (text + decode(chunk, final=not chunk)).lstrip(_SPACES)
            if not chunk:
                raise json.JSONDecodeError(e.msg, text, position) from e
            if len(text) > MOST_BYTES:
                message = f"{e.msg}, or more than {MOST_BYTES >> 20} MiB"
                raise json.JSONDecodeError(message, text, position) from e
            continue
        yield value
        closing, at = match[1], match.end()
    text = text[at:]
    while not text.strip(_SPACES) and (chunk := file.read(_CHUNK)):
        text = decode(chunk)
    if text.strip(_SPACES):
        raise json.JSONDecodeError("Extra data", text, 0)


class _TooMany(ValueError):
    pass


def _refuse_many(parts: int) -> None:
    if parts > MOST_PARTS:
        raise _TooMany(f"more than {MOST_PARTS} lists and objects in one utterance")


def _refuse_deep(value: Any) -> None:
    level: list[Any] = [[value]]
    depth = -1
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise RecursionError
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 ({error.reason}: {error.object[error.start : error.end]!r})"
    if isinstance(error, json.JSONDecodeError):
        return f"not valid JSON: {error.msg} at column {error.colno}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error) if isinstance(error, _TooMany) else f"not valid JSON: {error}"
