"""Short pieces of recordings to hear and to see in a browser."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from speechkit.errors import AudioUnreadable
from speechkit.io.audio import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATES = (8000, 16_000, 24_000, 32_000, 48_000)  # Hz, of which MP3 and any sound card know
COLUMNS, BANDS = 200, 80  # of a spectrogram
WINDOW = 0.025  # seconds of a column, about
RANGE = 75.0  # dB from the loudest to black
LEAST = -20.0  # dB of the loudest: silence stays black
#: From quiet to loud; between them, 16 colours lie on straight lines.
COLOURS = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))


@dataclass(frozen=True, slots=True)
class Excerpt:
    """``start`` and ``seconds`` in the utterance; ``top``: the highest frequency shown, in Hz."""

    start: float
    seconds: float
    top: float
    mp3: bytes
    png: bytes


def excerpt(
    path: str,
    *,
    offset: float,
    start: float,
    seconds: float,
    sample_rate: int,
    channel: int | None = None,
    track: str | None = None,
) -> Excerpt:
    """The sound of an utterance from ``start`` on. ``offset``: where it begins in its file;
    ``sample_rate``: that of the file. Raise an ``Audio…`` error naming the file."""
    rate = next((rate for rate in RATES if rate >= sample_rate), RATES[-1])
    audio = load(
        path,
        offset=offset + start,
        duration=seconds,
        sample_rate=rate,
        channel=channel,
        track=track,
    )
    waveform = audio.waveform
    mp3 = io.BytesIO()
    try:
        soundfile.write(mp3, waveform.clip(-1, 1), rate, format="MP3", subtype="MPEG_LAYER_III")
    except (soundfile.LibsndfileError, ValueError) as e:  # before 1.1, libsndfile knows no MP3
        raise AudioUnreadable(f"{path}: its sound can't be written as MP3: {e}") from e
    return Excerpt(start, audio.seconds, rate / 2, mp3.getvalue(), png(levels(waveform, rate)))


def levels(waveform: NDArray[np.float32], rate: int) -> NDArray[np.uint8]:
    """The spectrogram in 16 levels [bands, columns], the highest band first."""
    window = 1 << round(np.log2(WINDOW * rate))
    sound = np.pad(waveform, (0, max(0, window - len(waveform))))
    starts = np.linspace(0, len(sound) - window, COLUMNS).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(sound, window)[starts]
    power = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2
    edges = np.linspace(0, power.shape[1], BANDS, endpoint=False).astype(int)
    decibels = 10 * np.log10(np.maximum.reduceat(power, edges, axis=1) + 1e-12)
    above = (decibels - max(decibels.max(), LEAST) + RANGE) / RANGE
    shades: NDArray[np.uint8] = np.rint(15 * above.clip(0, 1)).astype(np.uint8)
    return shades.T[::-1]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG with a palette of 16 colours; ``pixels`` [rows, columns] of an even width."""
    rows, columns = pixels.shape
    packed = pixels[:, ::2] << 4 | pixels[:, 1::2]
    lines = np.concatenate((np.zeros((rows, 1), np.uint8), packed), axis=1)  # without a filter
    steps = np.linspace(0, len(COLOURS) - 1, 16)
    at = np.arange(len(COLOURS))
    palette = np.stack([np.interp(steps, at, part) for part in zip(*COLOURS, strict=True)], axis=1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 4, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette.astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
