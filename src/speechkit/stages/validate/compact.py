"""Tables of millions of entries in little memory."""

from __future__ import annotations

import hashlib
import os
from array import array

_FIRST_SIZE = 1 << 10  # slots, a power of two
_BLOCK = 16  # strings of which the first is kept whole
_MOST_SHARED = 0xFFFF  # bytes


def digest(text: str) -> int:
    """64 bits of a string. Among ten million strings, two agree once in 370,000 data sets."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "big")


class NumberTable:
    """A positive number for each of many evenly distributed 64-bit keys.

    A hash table with linear probing in two arrays, at most two thirds full: 18 to 36 bytes a key,
    where a dict takes 130.
    """

    def __init__(self) -> None:
        self._count = 0
        self._allocate(_FIRST_SIZE)

    def get(self, key: int) -> int:
        """The number of a key, 0 where it has none."""
        return self._numbers[self._slot(key)]

    def add(self, key: int, number: int) -> None:
        """Set the number of a key that has none."""
        if 3 * self._count >= 2 * len(self._numbers):
            self._grow()
        slot = self._slot(key)
        self._keys[slot], self._numbers[slot] = key, number
        self._count += 1

    def _slot(self, key: int) -> int:
        numbers, keys, mask = self._numbers, self._keys, len(self._numbers) - 1
        slot = key & mask
        while numbers[slot] and keys[slot] != key:
            slot = (slot + 1) & mask
        return slot

    def _allocate(self, size: int) -> None:
        self._keys, self._numbers = array("Q", bytes(8 * size)), array("I", bytes(4 * size))

    def _grow(self) -> None:
        keys, numbers = self._keys, self._numbers
        self._allocate(2 * len(numbers))
        for key, number in zip(keys, numbers, strict=True):
            if number:
                slot = self._slot(key)
                self._keys[slot], self._numbers[slot] = key, number


class SimilarStrings:
    """A list of strings such as paths, each kept as its difference from the one before it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._blocks = array("Q")  # the place of every 16th string
        self._last = b""
        self._count = 0

    def append(self, text: str) -> None:
        string = os.fsencode(text)
        shared = 0
        if self._count % _BLOCK == 0:
            self._blocks.append(len(self._data))
        else:
            shared = _shared(string, self._last)
        rest = string[shared:]
        self._data += shared.to_bytes(2, "big") + len(rest).to_bytes(4, "big") + rest
        self._last = string
        self._count += 1

    def __getitem__(self, index: int) -> str:
        block, further = divmod(index, _BLOCK)
        at, string = self._blocks[block], b""
        for _ in range(further + 1):
            shared = int.from_bytes(self._data[at : at + 2], "big")
            end = at + 6 + int.from_bytes(self._data[at + 2 : at + 6], "big")
            string = string[:shared] + bytes(self._data[at + 6 : end])
            at = end
        return os.fsdecode(string)


def _shared(one: bytes, other: bytes) -> int:
    """The number of bytes with which both begin, found by bisection."""
    least, most = 0, min(len(one), len(other), _MOST_SHARED)
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
