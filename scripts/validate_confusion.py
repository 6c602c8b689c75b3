#!/usr/bin/env python
"""Plants defects in good speech, one each, and prints what `speechkit validate` finds in each.

    scripts/validate_confusion.py [SPEECH...]

SPEECH: good recordings; by default, examples of the repository. The exit code is 1 where a defect
is missed, or something else is found.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "speech"
SPEECH = (EXAMPLES / "awb" / "train.flac", EXAMPLES / "kal16" / "letter.flac")
LONGEST = 60.0  # seconds; the limit that `too_long` is found by


@dataclass(frozen=True, slots=True)
class Good:
    """Good speech, mono, and the folder for what is made of it."""

    samples: Samples
    rate: int
    folder: Path

    def write(self, name: str, samples: Samples, rate: int = 0, subtype: str = "PCM_16") -> Path:
        path = self.folder / name
        soundfile.write(path, samples, rate or self.rate, subtype=subtype)
        return path

    def noise(self, seconds: float, level: float) -> Samples:
        """White noise of ``level`` dBFS."""
        noise = np.random.default_rng(7).standard_normal(round(seconds * self.rate))
        return (noise * 10 ** (level / 20)).astype(np.float32)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def level(self) -> float:
        return 10 * float(np.log10(np.square(self.samples).mean()))

    @property
    def loudest(self) -> int:
        """The sample at which the loudest 50 ms begin."""
        size = self.rate // 20
        powers = np.square(self.samples[: len(self.samples) // size * size]).reshape(-1, size)
        return int(powers.mean(axis=1).argmax()) * size


Plant = Callable[[Good], Path | dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Defect:
    """``plant`` makes a file, or a whole line of a manifest; ``finding``: "" where it is good."""

    name: str
    finding: str
    plant: Plant


def _missing(good: Good) -> Path:
    return good.folder / "missing.wav"


def _empty(good: Good) -> Path:
    path = good.folder / "empty.wav"
    path.touch()
    return path


def _no_audio(good: Good) -> Path:
    path = good.folder / "no_audio.wav"
    path.write_text("This is no audio. " * 500)
    return path


def _cut(good: Good, name: str) -> Path:
    path = good.write(name, good.samples)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def _corrupt(good: Good) -> Path:
    path = good.write("corrupt.flac", good.samples)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) * 2 // 3):
        data[at] = (data[at] * 7 + at) % 256
    path.write_bytes(data)
    return path


def _longer_in_the_manifest(good: Good) -> dict[str, Any]:
    path = good.write("stated.wav", good.samples)
    return {"audio_filepath": str(path), "duration": good.seconds + 3}


def _resampled(good: Good, low: int, high: int) -> Path:
    narrow = soxr.resample(soxr.resample(good.samples, good.rate, low), low, high)
    return good.write(f"resampled_{low}_{high}.wav", narrow, high)


def _coded(good: Good, name: str, *options: str) -> Path:
    """Through a codec and back to WAV."""
    source, coded, out = good.write(f"{name}.wav", good.samples), good.folder / name, good.folder
    for command in (
        [*options, "-ar", "16000", coded],
        [out / f"{name}.decoded.wav"],
    ):
        source_of = source if command[-1] == coded else coded
        ffmpeg = ["ffmpeg", "-y", "-loglevel", "error", "-i", source_of, *command]
        subprocess.run([*map(str, ffmpeg)], check=True)
    return out / f"{name}.decoded.wav"


def _channels(good: Good, name: str, *gains: float) -> Path:
    return good.write(f"{name}.wav", np.stack([good.samples * gain for gain in gains], axis=1))


def _two_microphones(good: Good) -> Path:
    other = np.roll(good.samples, 9) * 0.7 + good.noise(good.seconds, good.level - 40)
    return good.write("two.wav", np.stack([good.samples, other], axis=1))


def _clipped(good: Good, gain: float, name: str) -> Path:
    """The peaks that are 8 dB below the largest, and higher ones, are cut off."""
    limit = np.abs(good.samples).max() * 0.4
    return good.write(f"{name}.wav", np.clip(good.samples, -limit, limit) / limit * gain)


def _mostly_silent(good: Good) -> Path:
    still = good.noise(9 * good.seconds, -90)
    return good.write("silence.wav", np.concatenate((still, good.samples, still)))


def _no_speech(good: Good) -> Path:
    return good.write("noise.wav", good.noise(6, -30))


def _hum(good: Good, mains: int) -> Path:
    time = np.arange(len(good.samples)) / good.rate
    lines = (np.sin(2 * np.pi * k * mains * time + k) / k for k in range(1, 6))
    hum = sum(lines) * 10 ** ((good.level - 15) / 20)
    return good.write(f"hum{mains}.wav", good.samples + hum)


def _with_one(good: Good, value: float) -> Path:
    samples = good.samples.copy()
    samples[len(samples) // 2] = value
    return good.write(f"with_{value}.wav", samples, subtype="FLOAT")


def _dropped(good: Good) -> Path:
    samples = good.samples.copy()
    for place in (0, 5):
        start = good.loudest + place * good.rate // 100
        samples[start : start + good.rate // 50] = 0
    return good.write("dropped.wav", samples)


def _compressed(good: Good) -> Path:
    """So that all of it is loud, by a compressor of extreme ratio."""
    size = good.rate // 50
    level = np.sqrt(np.convolve(np.square(good.samples), np.full(size, 1 / size), "same"))
    loud = good.samples / np.maximum(level, 0.003) * 0.5
    return good.write("compressed.wav", np.tanh(loud) * 0.99)


def _noisy(good: Good) -> Path:
    return good.write("noisy.wav", good.samples * 0.5 + good.noise(good.seconds, good.level - 9))


DEFECTS = (
    Defect("none", "", lambda good: good.write("good.wav", good.samples)),
    Defect("none, as FLAC", "", lambda good: good.write("good.flac", good.samples)),
    Defect("none, in 24 bits", "", lambda g: g.write("24.wav", g.samples, subtype="PCM_24")),
    Defect("none, quiet", "", lambda good: good.write("quiet.wav", good.samples * 0.05)),
    Defect("none, 8 kHz", "", lambda g: g.write("8k.wav", soxr.resample(g.samples, g.rate, 8000), 8000)),
    Defect("none, two microphones", "", _two_microphones),
    Defect("missing", "missing", _missing),
    Defect("empty", "empty", _empty),
    Defect("no samples", "empty", lambda good: good.write("none.wav", good.samples[:0])),
    Defect("no audio", "unreadable", _no_audio),
    Defect("truncated FLAC", "truncated", lambda good: _cut(good, "cut.flac")),
    Defect("truncated WAV", "truncated", lambda good: _cut(good, "cut.wav")),
    Defect("shorter than stated", "truncated", _longer_in_the_manifest),
    Defect("corrupt", "damaged", _corrupt),
    Defect("too short", "too_short", lambda good: good.write("short.wav", good.samples[good.loudest :][: good.rate // 20])),
    Defect("too long", "too_long", lambda g: g.write("long.wav", np.resize(g.samples, int(LONGEST + 1) * g.rate))),
    Defect("low sample rate", "low_sample_rate", lambda good: good.write("6k.wav", soxr.resample(good.samples, good.rate, 6000), 6000)),
    Defect("telephone at 16 kHz", "narrow_band", lambda good: _resampled(good, 8000, 16000)),
    Defect("telephone at 48 kHz", "narrow_band", lambda good: _resampled(good, 8000, 48000)),
    Defect("MP3 of 24 kb/s", "low_pass", lambda good: _coded(good, "24k.mp3", "-b:a", "24k")),
    Defect("11 kHz at 16 kHz", "low_pass", lambda good: _resampled(good, 11025, 16000)),
    Defect("the same channels", "channels_identical", lambda good: _channels(good, "same", 1, 1)),
    Defect("cancelling channels", "channels_cancel", lambda good: _channels(good, "anti", 1, -1)),
    Defect("a silent channel", "channel_silent", lambda good: _channels(good, "half", 1, 0)),
    Defect("clipped", "clipped", lambda good: _clipped(good, 1.0, "clipped")),
    Defect("clipped, then quieter", "clipped", lambda good: _clipped(good, 0.3, "quieter")),
    Defect("mostly silence", "mostly_silence", _mostly_silent),
    Defect("noise without speech", "no_speech", _no_speech),
    Defect("DC offset", "dc_offset", lambda good: good.write("dc.wav", good.samples * 0.8 + 0.05)),
    Defect("hum of 50 Hz", "hum", lambda good: _hum(good, 50)),
    Defect("hum of 60 Hz", "hum", lambda good: _hum(good, 60)),
    Defect("NaN", "not_finite", lambda good: _with_one(good, float("nan"))),
    Defect("infinite", "not_finite", lambda good: _with_one(good, float("inf"))),
    Defect("dropped samples", "dropped_samples", _dropped),
    Defect("too quiet", "level_low", lambda g: g.write("low.wav", g.samples * 10 ** ((-58 - g.level) / 20), subtype="PCM_24")),
    Defect("too loud", "level_high", _compressed),
    Defect("low SNR", "low_snr", _noisy),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A defect planted in a recording, and what was found."""

    speech: str
    defect: Defect
    found: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return self.found == tuple(filter(None, [self.defect.finding]))


def confusion(speech: Sequence[Path], folder: Path) -> list[Row]:
    """What one run finds in each defect of each recording."""
    lines: list[dict[str, Any]] = []
    planted: list[tuple[str, Defect]] = []
    for number, path in enumerate(speech):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        place = folder / str(number)
        place.mkdir()
        good = Good(samples.mean(axis=1), rate, place)
        for defect in DEFECTS:
            made = defect.plant(good)
            line = made if isinstance(made, dict) else {"audio_filepath": str(made)}
            lines.append(line)
            planted.append((path.name, defect))
    manifest, out = folder / "planted.jsonl", folder / "found.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "speechkit", "validate", manifest, "-o", out]
    limit = ["--max-duration", LONGEST, "--workers", 1]
    subprocess.run([*map(str, [*command, *limit])], check=False)
    found = [json.loads(line) for line in out.read_text().splitlines()]
    return [
        Row(name, defect, (*record["issues"], *record["warnings"]))
        for (name, defect), record in zip(planted, found, strict=True)
    ]


def table(rows: Sequence[Row]) -> str:
    """A line a row; those that are wrong are marked."""
    width = max(len(row.defect.name) for row in rows)
    return "\n".join(
        f"{' ' if row.is_right else '!'} {row.speech:16} {row.defect.name:{width}}  "
        f"{', '.join(row.found) or '-'}"
        for row in rows
    )


def main() -> None:
    speech = [*map(Path, sys.argv[1:])] or SPEECH
    with tempfile.TemporaryDirectory() as folder:
        rows = confusion(speech, Path(folder))
    print(table(rows))
    right = sum(row.is_right for row in rows)
    print(f"{right} of {len(rows)} as planted")
    sys.exit(right != len(rows))


if __name__ == "__main__":
    main()
