#!/usr/bin/env python
"""Errors of word times on speech whose times are known exactly.

    scripts/bench/word_times.py [--engine faster-whisper --model base] [--texts MANIFEST]

The speech is flite's (Debian's package), which tells when each of its phones ends. Four voices read
three recordings each, of three sentences with pauses; the words that were heard right are compared.
Of errors the mean of their sizes, in milliseconds; the bias is early where it is negative.
"""

from __future__ import annotations

import difflib
import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchlib
import numpy as np
import soundfile
import soxr

RATE = 16_000  # Hz
VOICES = ("slt", "rms", "awb", "kal")
RECORDINGS, SENTENCES = 3, 3  # of each voice, in each recording
PAUSE = 0.25  # seconds; a word behind a longer one is the first of a stretch
FAR = 0.15  # seconds by which the first word after a silence may be off


@dataclass(frozen=True)
class Spoken:
    """A word and its true times in seconds."""

    text: str
    start: float
    end: float


# ---- The truth ----


@functools.cache
def phones_of(word: str) -> tuple[str, ...]:
    said = flite("slt", word, None, "-ps")
    return tuple(phone for phone in said.split() if phone != "pau")


def flite(voice: str, text: str, out: Path | None, what: str) -> str:
    command = ["flite", "-voice", voice, what, "-t", text]
    command += ["-o", str(out)] if out else ["none"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def speak(voice: str, text: str, path: Path) -> tuple[np.ndarray, list[Spoken]]:
    """A sentence at 16 kHz, with the words whose phones are those they have alone."""
    phones: list[tuple[str, float, float]] = []
    at = 0.0
    for part in flite(voice, text, path, "-psdur").split():
        name, _, end = part.rpartition(":")
        if name != "pau":
            phones.append((name, at, float(end)))
        at = float(end)
    samples, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, rate, RATE), list(place(text.split(), phones))


def place(words: Sequence[str], phones: Sequence[tuple[str, float, float]]) -> Iterator[Spoken]:
    expected = [phone for word in words for phone in phones_of(word)]
    heard = [name for name, _, _ in phones]
    same = difflib.SequenceMatcher(None, expected, heard, autojunk=False).get_opcodes()
    place_of = {
        at: other
        for _, first, last, begin, end in same
        if last - first == end - begin
        for at, other in zip(range(first, last), range(begin, end), strict=True)
    }
    at = 0
    for word in words:
        first, at = at, at + len(phones_of(word))
        if first in place_of and at - 1 in place_of:
            yield Spoken(word, phones[place_of[first]][1], phones[place_of[at - 1]][2])


def record(texts: Sequence[str], folder: Path) -> dict[Path, list[Spoken]]:
    """The recordings and their words."""
    random = np.random.default_rng(100)
    found = {}
    for voice in VOICES:
        for number in range(RECORDINGS):
            parts: list[np.ndarray] = []
            words: list[Spoken] = []
            at = 0.0
            for index in random.permutation(len(texts))[:SENTENCES]:
                gap = random.standard_normal(int(random.uniform(0.3, 2.0) * RATE)) * 1e-4
                samples, spoken = speak(voice, texts[index], folder / "sentence.wav")
                at += len(gap) / RATE
                words += [Spoken(one.text, at + one.start, at + one.end) for one in spoken]
                at += len(samples) / RATE
                parts += [gap.astype(np.float32), samples]
            path = folder / f"{voice}{number}.wav"
            soundfile.write(path, np.concatenate(parts), RATE)
            found[path] = words
    return found


# ---- Who is measured ----


def ours(paths: Sequence[Path], folder: Path, vad: str | None, options: Any) -> dict[Path, Any]:
    source: Sequence[object] = paths
    if vad:
        source = [folder / f"{vad}.jsonl"]
        run("vad", *paths, "--engine", vad, "-o", *source)
    out = folder / f"asr-{vad}.jsonl"
    run("asr", *source, "--engine", options.engine, "--model", options.model, "--words", "-o", out)
    return {
        Path(one["audio_filepath"]): [w for s in one["segments"] for w in s["words"]]
        for one in benchlib.read_manifest(out)
    }


def run(*arguments: object) -> None:
    benchlib.timed(benchlib.speechkit(*arguments))


def theirs(paths: Sequence[Path]) -> dict[Path, Any]:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(benchlib.MODELS / "base"), compute_type="int8_float32")
    found = {}
    for path in paths:
        segments, _ = model.transcribe(str(path), word_timestamps=True)
        found[path] = [
            {"word": word.word, "start": word.start, "end": word.end}
            for segment in segments
            for word in segment.words
        ]
    return found


# ---- The comparison ----


def compare(name: str, truth: dict[Path, list[Spoken]], heard: dict[Path, Any]) -> None:
    starts, ends, firsts = [], [], []
    for path, words in truth.items():
        for before, true, said in pairs(words, heard[path]):
            starts.append(said["start"] - true.start)
            ends.append(said["end"] - true.end)
            if before is None or true.start - before.end > PAUSE:
                firsts.append(starts[-1])
    late = sum(abs(error) > FAR for error in firsts)
    print(
        f"{name:24} {len(starts):5} words   starts {size(starts):4.0f} ms (bias "
        f"{1000 * np.mean(starts):+4.0f})   ends {size(ends):4.0f} ms   after a silence "
        f"{size(firsts):4.0f} ms, {late} of {len(firsts)} off by more than {FAR * 1000:.0f}"
    )


def size(errors: Sequence[float]) -> float:
    return 1000 * float(np.mean(np.abs(errors)))


def pairs(
    words: Sequence[Spoken], heard: Sequence[dict[str, Any]]
) -> Iterator[tuple[Spoken | None, Spoken, dict[str, Any]]]:
    """The words that were heard right, each with the true one before."""
    true, said = [letters(one.text) for one in words], [letters(one["word"]) for one in heard]
    matcher = difflib.SequenceMatcher(None, true, said, autojunk=False)
    for first, begin, length in matcher.get_matching_blocks():
        for step in range(length):
            at = first + step
            yield (words[at - 1] if at else None), words[at], heard[begin + step]


def letters(word: str) -> str:
    return re.sub(r"[^a-z0-9']", "", word.lower())


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--engine", default="faster-whisper")
    parser.add_argument("--model", default="base")
    librispeech = benchlib.DATA / "librispeech" / "manifest.jsonl"
    parser.add_argument("--texts", type=Path, default=librispeech)
    options = parser.parse_args()
    if shutil.which("flite") is None:
        parser.error("no flite, which speaks: apt-get install flite")
    benchlib.heading("faster-whisper")
    texts = [record["text"] for record in benchlib.read_manifest(options.texts)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = record([text for text in texts if len(text.split()) > SENTENCES], folder)
        paths = sorted(truth)
        for vad in ("silero", "ten", None):
            found = ours(paths, folder, vad, options)
            compare(f"speechkit, {vad or 'no VAD'}", truth, found)
        compare("faster-whisper", truth, theirs(paths))


if __name__ == "__main__":
    main()
