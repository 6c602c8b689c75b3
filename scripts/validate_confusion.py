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
from tokenizers import Tokenizer, models, pre_tokenizers

Samples = NDArray[np.float32]
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "speech"
SPEECH = (EXAMPLES / "awb" / "train.flac", EXAMPLES / "kal16" / "letter.flac")
MOST_TOKENS = 39  # of a text
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
        """White noise, of ``level`` dBFS up to 8 kHz."""
        noise = np.random.default_rng(7).standard_normal(round(seconds * self.rate))
        gain = 10 ** (level / 20) * (self.rate / 16_000) ** 0.5
        return (noise * gain).astype(np.float32)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def level(self) -> float:
        return 10 * float(np.log10(np.square(self.samples).mean()))

    @property
    def loudest(self) -> int:
        """The sample at which the loudest 50 ms begin, of those with 150 ms after them."""
        size = self.rate // 20
        frames = len(self.samples) // size - 3
        powers = np.square(self.samples[: frames * size]).reshape(-1, size)
        return int(powers.mean(axis=1).argmax()) * size


Plant = Callable[[Good], Path | dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Defect:
    """``plant`` makes a file, or a whole line of a manifest; ``finding``: "" where it is good."""

    name: str
    finding: str
    plant: Plant


def _ffmpeg(source: Path, path: Path, *options: str) -> None:
    command = ["ffmpeg", "-y", "-loglevel", "error", "-i", str(source), *options, str(path)]
    subprocess.run(command, check=True)


def _above_full_scale(good: Good) -> Path:
    """As samples of floating point may be."""
    return good.write("float.wav", good.samples / np.abs(good.samples).max() * 1.5, subtype="FLOAT")


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


def _cut_mp3(good: Good) -> Path:
    """Whose header states how many frames there are."""
    source, path = good.write("whole.wav", good.samples), good.folder / "cut.mp3"
    _ffmpeg(source, path, "-b:a", "64k")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
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


def _too_short(good: Good) -> Path:
    return good.write("short.wav", good.samples[good.loudest :][: good.rate // 20])


def _too_long(good: Good) -> Path:
    return good.write("long.wav", np.resize(good.samples, int(LONGEST + 1) * good.rate))


def _at_rate(good: Good, *rates: int) -> Path:
    """Resampled to one rate after the other."""
    samples, rate = good.samples, good.rate
    for following in rates:
        samples, rate = soxr.resample(samples, rate, following), following
    return good.write(f"at_{'_'.join(map(str, rates))}.wav", samples, rate)


def _by_ffmpeg(good: Good) -> Path:
    """8 kHz at 22.05 kHz by ffmpeg's default resampler, whose filter falls slowly."""
    source, path = _at_rate(good, 8000), good.folder / "ffmpeg.wav"
    _ffmpeg(source, path, "-ar", "22050")
    return path


def _coded(good: Good) -> Path:
    """An MP3 of so few bits that the encoder drops the highest frequencies."""
    mp3 = good.folder / "coded.mp3"
    samples = soxr.resample(good.samples, good.rate, 16_000)
    source = good.write("uncoded.wav", samples, 16_000)
    _ffmpeg(source, mp3, "-b:a", "24k")
    return mp3


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
    still = good.noise(4 * good.seconds, -90)
    return good.write("silence.wav", np.concatenate((still, good.samples, still)))


def _hum(good: Good, mains: int) -> Path:
    time = np.arange(len(good.samples)) / good.rate
    lines = (np.sin(2 * np.pi * k * mains * time + k) / k for k in range(1, 6))
    hum = sum(lines) * 10 ** ((good.level - 15) / 20)
    return good.write(f"hum{mains}.wav", good.samples + hum)


def _with_one(good: Good, value: float) -> Path:
    samples = good.samples.copy()
    samples[len(samples) // 2] = value
    return good.write(f"with_{value}.wav", samples, subtype="FLOAT")


def _integers(good: Good) -> Path:
    """Of 16 bits, as floating point without a scale."""
    return good.write("integers.wav", good.samples * 32768, subtype="FLOAT")


def _dropped(good: Good, *, held: bool) -> Path:
    """Two packets of 20 ms are lost, and zeros or the last sample stand in their place."""
    samples = good.samples.copy()
    for place in (0, 5):
        start = good.loudest + place * good.rate // 100
        samples[start : start + good.rate // 50] = samples[start] if held else 0
    return good.write(f"dropped_{held}.wav", samples)


def _too_quiet(good: Good, level: float) -> Path:
    gain = 10 ** ((level - good.level) / 20)
    return good.write(f"low{level}.wav", good.samples * gain, subtype="PCM_24")


def _compressed(good: Good) -> Path:
    """So that all of it is loud, by a compressor of extreme ratio."""
    size = good.rate // 50
    level = np.sqrt(np.convolve(np.square(good.samples), np.full(size, 1 / size), "same"))
    loud = good.samples / np.maximum(level, level.mean())
    loud = np.tanh(loud - loud.mean())
    return good.write("compressed.wav", (loud - loud.mean()) * 0.98)


def _noisy(good: Good) -> Path:
    return good.write("noisy.wav", good.samples * 0.4 + good.noise(good.seconds, good.level - 10))


def _line(good: Good, name: str, gain: float, **keys: Any) -> dict[str, Any]:
    """A line of a manifest. Another gain makes other audio, which is no duplicate."""
    return {"audio_filepath": str(good.write(f"{name}.wav", good.samples * gain)), **keys}


def _of_split(good: Good, name: str, gain: float, split: str, speaker: str) -> dict[str, Any]:
    return _line(good, name, gain, split=split, speaker=f"{speaker} {good.folder}")


TEXT = "A text of the usual length"
DEFECTS = (
    Defect("none", "", lambda g: g.write("good.wav", g.samples)),
    Defect("none, as FLAC", "", lambda g: g.write("good.flac", g.samples * 0.9)),
    Defect("none, in 24 bits", "", lambda g: g.write("24.wav", g.samples * 0.8, subtype="PCM_24")),
    Defect("none, above full scale", "", _above_full_scale),
    Defect("none, quiet", "", lambda g: g.write("quiet.wav", g.samples * 0.2)),
    Defect("none, 8 kHz", "", lambda g: _at_rate(g, 8000)),
    Defect("none, two microphones", "", _two_microphones),
    Defect("missing", "missing", lambda g: g.folder / "missing.wav"),
    Defect("empty", "empty", _empty),
    Defect("no samples", "empty", lambda g: g.write("none.wav", g.samples[:0])),
    Defect("no audio", "unreadable", _no_audio),
    Defect("truncated FLAC", "truncated", lambda g: _cut(g, "cut.flac")),
    Defect("truncated WAV", "truncated", lambda g: _cut(g, "cut.wav")),
    Defect("truncated MP3", "truncated", _cut_mp3),
    Defect("shorter than stated", "truncated", _longer_in_the_manifest),
    Defect("corrupt", "damaged", _corrupt),
    Defect("too short", "too_short", _too_short),
    Defect("a sample", "too_short", lambda g: g.write("one.wav", g.samples[g.loudest :][:1])),
    Defect("too long", "too_long", _too_long),
    Defect("low sample rate", "low_sample_rate", lambda g: _at_rate(g, 6000)),
    Defect("telephone at 16 kHz", "narrow_band", lambda g: _at_rate(g, 8000, 16000)),
    Defect("telephone at 48 kHz", "narrow_band", lambda g: _at_rate(g, 8000, 48000)),
    Defect("telephone at 22 kHz, by ffmpeg", "narrow_band", _by_ffmpeg),
    Defect("MP3 of 24 kb/s", "low_pass", _coded),
    Defect("16 kHz at 48 kHz", "low_pass", lambda g: _at_rate(g, 16000, 48000)),
    Defect("11 kHz at 16 kHz", "low_pass", lambda g: _at_rate(g, 11025, 16000)),
    Defect("the same channels", "channels_identical", lambda g: _channels(g, "same", 1, 1)),
    Defect("cancelling channels", "channels_cancel", lambda g: _channels(g, "anti", 1, -1)),
    Defect("a silent channel", "channel_silent", lambda g: _channels(g, "half", 1, 0)),
    Defect("clipped", "clipped", lambda g: _clipped(g, 1.0, "clipped")),
    Defect("clipped, then quieter", "clipped", lambda g: _clipped(g, 0.3, "quieter")),
    Defect("mostly silence", "mostly_silence", _mostly_silent),
    Defect("noise without speech", "no_speech", lambda g: g.write("noise.wav", g.noise(6, -30))),
    Defect("DC offset", "dc_offset", lambda g: g.write("dc.wav", g.samples * 0.8 + 0.05)),
    Defect("hum of 50 Hz", "hum", lambda g: _hum(g, 50)),
    Defect("hum of 60 Hz", "hum", lambda g: _hum(g, 60)),
    Defect("NaN", "not_finite", lambda g: _with_one(g, float("nan"))),
    Defect("infinite", "not_finite", lambda g: _with_one(g, float("inf"))),
    Defect("integers as floats", "out_of_range", _integers),
    Defect("samples dropped", "dropped_samples", lambda g: _dropped(g, held=False)),
    Defect("samples held", "dropped_samples", lambda g: _dropped(g, held=True)),
    Defect("too quiet", "level_low", lambda g: _too_quiet(g, -58)),
    Defect("below the gate", "level_low", lambda g: _too_quiet(g, -76)),
    Defect("too loud", "level_high", _compressed),
    Defect("low SNR", "low_snr", _noisy),
    Defect("none, with text", "", lambda g: _line(g, "text", 0.79, text=TEXT, pred_text=TEXT)),
    Defect("no text", "no_text", lambda g: _line(g, "no_text", 0.78, text=" ")),
    Defect("too much text", "fast_text", lambda g: _line(g, "much", 0.77, text="a" * 900)),
    Defect("too little text", "slow_text", lambda g: _line(g, "little", 0.76, text="a")),
    Defect("many tokens", "too_many_tokens", lambda g: _line(g, "tokens", 0.75, text="a " * 40)),
    Defect("markup", "markup", lambda g: _line(g, "markup", 0.74, text=f"<i>{TEXT}</i>")),
    Defect(
        "another text",
        "wrong_text",
        lambda g: _line(g, "wrong", 0.73, text=TEXT, pred_text="Nothing of the kind was said"),
    ),
    Defect("the same line", "duplicate_line", lambda g: g.folder / "good.wav"),
    Defect("the same audio", "duplicate_audio", lambda g: _line(g, "copy", 1.0)),
    Defect("none, in train", "", lambda g: _of_split(g, "train", 0.72, "train", "anna")),
    Defect(
        "audio of train in test",
        "leaked_audio",
        lambda g: _of_split(g, "leak", 0.72, "test", "ben"),
    ),
    Defect(
        "speaker of train in test",
        "leaked_speaker",
        lambda g: _of_split(g, "speaker", 0.71, "test", "anna"),
    ),
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
        good = Good(samples[: int(LONGEST / 10 * rate)].mean(axis=1), rate, place)
        for defect in DEFECTS:
            made = defect.plant(good)
            line = made if isinstance(made, dict) else {"audio_filepath": str(made)}
            lines.append(line)
            planted.append((path.name, defect))
    manifest, out = folder / "planted.jsonl", folder / "found.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "speechkit", "validate", manifest, "-o", out]
    limit = ["--max-duration", LONGEST, "--workers", 1]
    tokens = ["--tokenizer", _tokenizer(folder), "--max-tokens", MOST_TOKENS]
    subprocess.run([*map(str, [*command, *limit, *tokens])], check=False)
    found = [json.loads(line) for line in out.read_text().splitlines()]
    return [
        Row(name, defect, (*record["issues"], *record["warnings"]))
        for (name, defect), record in zip(planted, found, strict=True)
    ]


def _tokenizer(folder: Path) -> Path:
    """The file of a tokenizer that counts words."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


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
