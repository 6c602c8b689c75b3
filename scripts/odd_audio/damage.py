"""Damaged files: a seed and a number make the same one again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from odd_audio import files

LENGTH = 3.5  # seconds of the undamaged files
HEADER = 512  # bytes at a file's beginning that are damaged as its header
SPEECHES = [sorted((files.SPEECH / voice).glob("*.flac"))[0] for voice in ("rms", "slt")]

#: The damaged file, and what was done to it in words. Each takes dice, a file and another one.
Damaged = tuple[bytes, str]


def _bits(dice: Random, data: bytes, partner: bytes) -> Damaged:
    damaged = bytearray(data)
    count = dice.choice((1, 4, 16, 64))
    for _ in range(count):
        damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(damaged), f"{count} bits flipped"


def _header(dice: Random, data: bytes, partner: bytes) -> Damaged:
    damaged = bytearray(data)
    count = dice.choice((1, 2, 8))
    places = sorted({dice.randrange(min(len(data), HEADER)) for _ in range(count)})
    for place in places:
        damaged[place] = dice.randrange(256)
    return bytes(damaged), f"other bytes at {places}"


def _length(dice: Random, data: bytes, partner: bytes) -> Damaged:
    """Four bytes that may well be a length, as they are less than the file's; else any."""
    places = [
        (place, order)
        for place in range(min(len(data), 8 * HEADER) - 4)
        for order in ("big", "little")
        if 8 <= int.from_bytes(data[place : place + 4], order) <= len(data)
    ]
    width = dice.choice((1, 2, 4, 4, 4, 8))
    if width == 4 and places:
        place, _order = dice.choice(places)
    else:
        place = dice.randrange(min(len(data), HEADER) - width)
    value = dice.choice((b"\0", b"\xff"))
    damaged = data[:place] + value * width + data[place + width :]
    return damaged, f"{width} bytes at {place} set to {value.hex()}"


def _cut_end(dice: Random, data: bytes, partner: bytes) -> Damaged:
    left = int(len(data) * dice.uniform(0.02, 0.99))
    return data[:left], f"first {left} of {len(data)} bytes"


def _cut_front(dice: Random, data: bytes, partner: bytes) -> Damaged:
    gone = dice.choice((dice.randrange(1, 64), int(len(data) * dice.uniform(0.02, 0.98))))
    return data[gone:], f"without its first {gone} of {len(data)} bytes"


def _doubled(dice: Random, data: bytes, partner: bytes) -> Damaged:
    times = dice.choice((2, 2, 3))
    return data * times, f"{times} times"


def _spliced(dice: Random, data: bytes, partner: bytes) -> Damaged:
    here = dice.choice((len(data), int(len(data) * dice.uniform(0.1, 0.9))))
    there = dice.choice((0, int(len(partner) * dice.uniform(0.1, 0.9))))
    return data[:here] + partner[there:], f"{here} of {len(data)} bytes, then from {there}"


def _block(dice: Random, data: bytes) -> tuple[int, int]:
    size = max(1, int(len(data) * dice.choice((0.01, 0.05, 0.2))))
    start = dice.randrange(len(data) - size)
    return start, start + size


def _zeroed(dice: Random, data: bytes, partner: bytes) -> Damaged:
    start, end = _block(dice, data)
    return data[:start] + bytes(end - start) + data[end:], f"zeros from {start} to {end}"


def _removed(dice: Random, data: bytes, partner: bytes) -> Damaged:
    start, end = _block(dice, data)
    return data[:start] + data[end:], f"without {start} to {end} of {len(data)}"


def _inserted(dice: Random, data: bytes, partner: bytes) -> Damaged:
    start, end = _block(dice, data)
    noise = dice.randbytes(end - start)
    return data[:start] + noise + data[start:], f"{end - start} random bytes at {start}"


def _swapped(dice: Random, data: bytes, partner: bytes) -> Damaged:
    start, end = _block(dice, data)
    other = dice.randrange(end, len(data) + 1)
    damaged = data[:start] + data[end:other] + data[start:end] + data[other:]
    return damaged, f"{start} to {end} moved to before {other}"


MUTATIONS: dict[str, Callable[[Random, bytes, bytes], Damaged]] = {
    "bits": _bits,
    "header": _header,
    "length": _length,
    "cut end": _cut_end,
    "cut front": _cut_front,
    "doubled": _doubled,
    "spliced": _spliced,
    "spliced with its kind": _spliced,
    "zeroed": _zeroed,
    "removed": _removed,
    "inserted": _inserted,
    "swapped": _swapped,
}

#: Of each kind two files, of different speech.
Bases = dict[files.Kind, tuple[bytes, bytes]]


def make_bases(kinds: list[files.Kind], folder: Path) -> Bases:
    """What ffmpeg can't write here is left out."""
    sources = [files.write_sources(speech, folder, LENGTH) for speech in SPEECHES]
    bases: Bases = {}
    for kind in kinds:
        path = folder / f"base{kind.suffix}"
        faults, data = [], []
        for source in sources:
            faults.append(files.make(kind, source, path))
            data.append(path.read_bytes() if path.exists() else b"")
        if not any(faults):
            bases[kind] = (data[0], data[1])
    return bases


@dataclass(frozen=True, slots=True)
class Case:
    """``mutation`` is the sort of damage, ``note`` says just what and where."""

    number: int
    kind: str
    mutation: str
    note: str
    suffix: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.kind:24} {self.mutation}: {self.note}"


def make_case(seed: int, number: int, bases: Bases) -> Case:
    dice = Random(f"{seed}/{number}")
    kind = dice.choice(list(bases))
    mutation = dice.choice(list(MUTATIONS))
    partner = kind if "its kind" in mutation else dice.choice(list(bases))
    data, note = MUTATIONS[mutation](dice, bases[kind][0], bases[partner][1])
    if mutation == "spliced":
        note += f" of {partner.name}"
    return Case(number, kind.name, mutation, note, kind.suffix, data)
