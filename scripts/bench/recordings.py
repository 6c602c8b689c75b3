"""Recordings of known text for benchmarks, and what a transcript loses of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile
from whisper_normalizer.english import EnglishTextNormalizer

from speechkit.io import audio

RATE = 16_000  # Hz
RUN = 4  # words missing in a row that count as lost: fewer may be misheard


@dataclass(frozen=True)
class Sentence:
    samples: np.ndarray
    text: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def read(folder: Path) -> list[Sentence]:
    """The utterances of FOLDER/manifest.jsonl that have a reference."""
    found = []
    for line in (folder / "manifest.jsonl").open():
        record = json.loads(line)
        if record.get("text"):
            samples = audio.load(str(folder / record["audio_filepath"]), sample_rate=RATE).waveform
            found.append(Sentence(samples, record["text"]))
    return found


def separate(sentences: Sequence[Sentence], folder: Path) -> Path:
    """A manifest of a file each."""
    lines = [_write(folder / f"{at:03}.wav", one) for at, one in enumerate(sentences)]
    return _manifest(folder / "separate.jsonl", lines)


def joined(
    sentences: Sequence[Sentence],
    folder: Path,
    *,
    count: int,
    each: int,
    seed: int,
    pauses: tuple[float, float] = (0.4, 1.6),
) -> Path:
    """A manifest of ``count`` recordings of ``each`` sentences in random order, after ``pauses`` in
    seconds with a faint hiss. A sentence recurs only after all the others. ``sentences``: a line
    for each of them, by its offset in the recording."""
    random = np.random.default_rng(seed)
    rounds = -(-each // len(sentences))
    lines = []
    for number in range(count):
        path = folder / f"joined{number}.wav"
        parts: list[np.ndarray] = []
        lines_of_sentences: list[dict[str, Any]] = []
        order = np.concatenate([random.permutation(len(sentences)) for _ in range(rounds)])
        chosen = [sentences[at] for at in order[:each]]
        for sentence in chosen:
            hiss = random.standard_normal(int(random.uniform(*pauses) * RATE)) * 1e-4
            parts.append(hiss.astype(np.float32))
            offset = sum(map(len, parts)) / RATE
            lines_of_sentences.append(_line(path, sentence) | {"offset": offset})
            parts.append(sentence.samples)
        whole = Sentence(np.concatenate(parts), " ".join(one.text for one in chosen))
        lines.append(_write(path, whole) | {"sentences": lines_of_sentences})
    return _manifest(folder / "joined.jsonl", lines)


def _write(path: Path, sentence: Sentence) -> dict[str, Any]:
    soundfile.write(path, sentence.samples, RATE)
    return _line(path, sentence)


def _line(path: Path, sentence: Sentence) -> dict[str, Any]:
    return {"audio_filepath": str(path), "duration": sentence.seconds, "text": sentence.text}


def _manifest(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@dataclass(frozen=True)
class Errors:
    """Words of all recordings; ``lost``: those missing in runs of `RUN` and more."""

    words: int
    wrong: int
    lost: int

    @property
    def rate(self) -> float:
        return self.wrong / self.words


def errors(truth: Sequence[str], heard: Sequence[str]) -> Errors:
    """As Whisper's English normaliser sees them."""
    normal = EnglishTextNormalizer()
    words = wrong = lost = 0
    for text, said in zip(truth, heard, strict=True):
        found = jiwer.process_words([normal(text)], [normal(said)])
        words += found.hits + found.substitutions + found.deletions
        wrong += found.substitutions + found.deletions + found.insertions
        runs = (
            one.ref_end_idx - one.ref_start_idx
            for one in found.alignments[0]
            if one.type == "delete"
        )
        lost += sum(run for run in runs if run >= RUN)
    return Errors(words, wrong, lost)
