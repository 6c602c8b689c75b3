"""WAV read from a pipe: the header while it comes, then the sound up to its end."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from speechkit.errors import UsageError
from speechkit.io.decoders.decoder_choice import MAX_RATE, MIN_RATE
from speechkit.io.decoders.headers import MOST
from speechkit.serving.sources.pipe import PIECE, Pipe
from speechkit.serving.sources.source import MAX_CHANNELS, NoAudio

HEAD = 12  # bytes that tell a WAV
LARGEST_CHUNK = 64 << 20  # bytes of a chunk before the sound
# From here on a size in a header stands for one that isn't known: ffmpeg writes all ones, sox and
# arecord nearly the largest positive number.
STREAMED = 0x7FFF0000
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
FORMATS = {
    (PCM, 8): "u8",
    (PCM, 16): "s16",
    (PCM, 24): "s24",
    (PCM, 32): "s32",
    (FLOAT, 32): "f32",
    (FLOAT, 64): "f64",
}
BY_FFMPEG = "let ffmpeg decode it: ffmpeg -i … -f s16le -ac 1 -ar 16000 - | … - --rate 16000"


@dataclass(frozen=True, slots=True)
class Wav:
    """What a header states; ``size`` of the sound in bytes, None where it isn't known."""

    rate: int
    channels: int
    sample_format: str
    size: int | None

    def sound(self, pipe: Pipe, remarks: deque[str]) -> Iterator[bytes]:
        """The bytes of the sound, which follow the header.

        What comes after the stated end is sound as well, unless it is a further chunk.
        """
        if self.size is None:
            yield from pipe.rest()
            return
        left = self.size
        while left:
            piece = pipe.some(min(PIECE, left))
            if not piece:
                remarks.append(f"{pipe.name}: ends before its header says")
                return
            left -= len(piece)
            yield piece
        pipe.exactly(self.size % 2)
        yield from _behind(pipe, remarks)


def _behind(pipe: Pipe, remarks: deque[str]) -> Iterator[bytes]:
    head = pipe.exactly(8)
    is_chunk = head[:4].isascii() and head[:4].decode().isprintable() and head[:4] != b"RIFF"
    if len(head) < 8 or is_chunk:
        for _ in pipe.rest():
            pass
        return
    remarks.append(f"{pipe.name}: goes on after the end that its header states")
    yield head
    yield from pipe.rest()


def read_header(pipe: Pipe) -> Wav:
    """Read up to the sound. Raise `UsageError` where it is no WAV that can be read from a pipe."""
    _require_wave(pipe)
    form: tuple[int, int, str] | None = None
    stated: int | None = None
    for name, size, content in _chunks(pipe):
        if name == b"fmt ":
            form = _format(content, pipe.name)
        elif name == b"ds64":  # RF64 states the size of its sound ahead of all chunks
            stated = int.from_bytes(content[8:16], "little")
        elif size < STREAMED:
            stated = size
    if form is None:
        raise UsageError(f"{pipe.name}: a WAV that doesn't state its format; {BY_FFMPEG}")
    return Wav(*form, stated if stated and stated < MOST else None)


def not_wav(pipe: Pipe) -> Iterator[bytes]:
    """The bytes of raw PCM. Raise `UsageError` where they are a WAV, which states its rate."""
    head = pipe.exactly(HEAD)
    if _is_wave(head):
        raise UsageError(f"{pipe.name}: is a WAV, which states its own rate; leave out --rate")
    yield head + pipe.some()
    yield from pipe.rest()


def _is_wave(head: bytes) -> bool:
    return head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE"


def _require_wave(pipe: Pipe) -> None:
    head = pipe.exactly(HEAD)
    if not head:
        raise no_audio(pipe.name)
    if not _is_wave(head):
        raise UsageError(
            f"{pipe.name}: no WAV; tell the --rate of raw PCM (and --channels, --sample-format), "
            f"and where it is something else, {BY_FFMPEG}"
        )


def _chunks(pipe: Pipe) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, size and content of the chunks that describe the sound, and the head of its own."""
    while True:
        head = pipe.exactly(8)
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data" and len(head) == 8:
            yield name, size, b""
            return
        if size > LARGEST_CHUNK:
            raise UsageError(f"{pipe.name}: a WAV with a damaged header; {BY_FFMPEG}")
        content = pipe.exactly(size + size % 2)
        if len(head) < 8 or len(content) < size:
            raise UsageError(
                f"{pipe.name}: a WAV that ends within its header; did the command before this one "
                "fail?"
            )
        if name in (b"fmt ", b"ds64"):
            yield name, size, content


def _format(content: bytes, name: str) -> tuple[int, int, str]:
    """Rate, channels and the format of samples."""
    try:
        tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
        if tag == EXTENSIBLE:
            (tag,) = struct.unpack_from("<H", content, 24)  # the subformat's first bytes
    except struct.error as e:
        raise UsageError(f"{name}: a WAV with a damaged header; {BY_FFMPEG}") from e
    sample_format = FORMATS.get((tag, bits))
    if sample_format is None:
        raise UsageError(
            f"{name}: a WAV whose samples (format {tag:#x}, {bits} bits) are not read from a pipe; "
            f"{BY_FFMPEG}"
        )
    if not (MIN_RATE <= rate <= MAX_RATE and 1 <= channels <= MAX_CHANNELS):
        raise UsageError(
            f"{name}: a WAV of {rate} Hz and {channels} channels; {MIN_RATE} to {MAX_RATE} Hz and "
            f"1 to {MAX_CHANNELS} channels can be read"
        )
    return rate, channels, sample_format


def no_audio(name: str) -> NoAudio:
    return NoAudio(f"{name}: no audio came in; did the command before this one fail?")
