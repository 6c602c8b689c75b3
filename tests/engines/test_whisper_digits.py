"""Both Whisper engines on a tiny model that has truly learnt the digits."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jiwer
import numpy as np
import pytest
import soundfile

from digitkit import Digit
from speechkit.engines.protocols import SAMPLE_RATE

ENGINES = ["whisper", "faster-whisper"]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LOUD = 1e-3  # of its loudest 20 ms: where the sound of a recorded word begins and ends

pytestmark = pytest.mark.slow


class Joined(NamedTuple):
    """A recording of digits, its manifest line, and (word, start, end) in it."""

    path: Path
    line: str
    truth: list[tuple[str, float, float]]

    @property
    def text(self) -> str:
        return " ".join(word for word, _, _ in self.truth)


Asr = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def asr(whispers: dict[str, Path], speechkit: Any, tmp_path_factory: pytest.TempPathFactory) -> Asr:
    """``asr(engine, manifest, …)``: the records of a run in English, which says nothing odd."""

    def run(engine: str, *arguments: object, model: Path | None = None) -> list[dict[str, Any]]:
        out = tmp_path_factory.mktemp("asr") / "asr.jsonl"
        chosen = ["--engine", engine, "--model", model or whispers[engine], "--workers", 1]
        language = [] if "--language" in arguments else ["--language", "en"]
        done = speechkit("asr", *arguments, *chosen, *language, "-o", out)
        assert not re.search(r"(?i)warn|deprec|transformers|attention|forced|%\|", done.err)
        return [json.loads(line) for line in out.read_text().splitlines()]

    return run


def texts(records: list[dict[str, Any]]) -> list[str]:
    return [record["pred_text"] for record in records]


@pytest.fixture(scope="module")
def understood(asr: Asr, held_out: Path) -> dict[str, list[str]]:
    """What each engine makes of the held-out digits in batches of 16."""
    return {engine: texts(asr(engine, held_out, "--batch-size", 16)) for engine in ENGINES}


@pytest.fixture(scope="module")
def joined(
    digits: list[Digit],
    understood: dict[str, list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Joined:
    """200 digits with random gaps, of those that are understood alone: the model's errors are
    another test's."""
    rng = np.random.default_rng(7)
    clear = [
        digit
        for digit, *heard in zip(digits, *understood.values(), strict=True)
        if heard == [digit.text] * len(heard)
    ]
    parts: list[Any] = []
    truth = []
    at = 0
    for index in rng.choice(len(clear), 200):
        digit = clear[index]
        gap = np.zeros(round(rng.uniform(0.3, 1.2) * SAMPLE_RATE), np.float32)
        waveform = digit.waveform / np.abs(digit.waveform).max() * 0.7
        power = np.convolve(waveform**2, np.ones(SAMPLE_RATE // 50), "same")
        (loud,) = np.nonzero(power > LOUD * power.max())
        at += len(gap)
        truth.append((digit.text, (at + loud[0]) / SAMPLE_RATE, (at + loud[-1]) / SAMPLE_RATE))
        at += len(waveform)
        parts += [gap, waveform]
    waveform = np.concatenate([*parts, np.zeros(SAMPLE_RATE // 2, np.float32)])
    waveform += rng.normal(0, 3e-4, len(waveform)).astype(np.float32)
    path = tmp_path_factory.mktemp("joined") / "digits.wav"
    soundfile.write(path, waveform, SAMPLE_RATE)
    record = {"audio_filepath": str(path), "duration": len(waveform) / SAMPLE_RATE}
    return Joined(path, json.dumps(record), truth)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_digits_are_understood(
    engine: str, understood: dict[str, list[str]], digits: list[Digit]
) -> None:
    assert jiwer.wer([digit.text for digit in digits], understood[engine]) < 0.05


def test_both_engines_agree(understood: dict[str, list[str]]) -> None:
    pairs = list(zip(*understood.values(), strict=True))
    assert sum(one == other for one, other in pairs) >= 0.99 * len(pairs)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [1, 4])
def test_the_batch_changes_no_text(
    size: int,
    engine: str,
    asr: Asr,
    understood: dict[str, list[str]],
    digits: list[Digit],
    joined: Joined,
    tmp_path: Path,
) -> None:
    """Nor does a longer one beside it."""
    some = digits[:60]
    lines = [digit.line for digit in some]
    lines.insert(3, json.dumps({**json.loads(joined.line), "duration": 12.0}))
    manifest = tmp_path / "mixed.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    found = texts(asr(engine, manifest, "--batch-size", size))
    del found[3]
    assert found == understood[engine][: len(some)]


def require_order(record: dict[str, Any]) -> None:
    words = [word for segment in record["segments"] for word in segment["words"]]
    for all_of in (record["segments"], words):
        times = [time for one in all_of for time in (one["start"], one["end"])]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= record["duration"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_long_recording_keeps_every_word_and_its_place(
    engine: str, asr: Asr, joined: Joined, speechkit: Any, tmp_path: Path
) -> None:
    vad = tmp_path / "vad.jsonl"
    speechkit("vad", joined.path, "--engine", "silero", "--threshold", "0.3", "-o", vad)
    (record,) = asr(engine, vad, "--words")
    assert record["pred_text"] == joined.text
    require_order(record)
    words = [word for segment in record["segments"] for word in segment["words"]]
    for (word, start, end), said in zip(joined.truth, words, strict=True):
        assert said["word"] == word
        assert abs(said["start"] - start) < 0.3
        assert abs(said["end"] - end) < 0.3


@pytest.mark.parametrize("engine", ENGINES)
def test_without_vad_it_is_decoded_in_sequence(
    engine: str, asr: Asr, joined: Joined, tmp_path: Path
) -> None:
    """Windows of three seconds cut words, of which this model mishears some, as it does in
    transformers' own sequence."""
    manifest = tmp_path / "two-minutes.jsonl"
    manifest.write_text(json.dumps({**json.loads(joined.line), "duration": 120.0}))
    (record,) = asr(engine, manifest, "--words")
    said = " ".join(word for word, _, end in joined.truth if end < 120.0)
    assert jiwer.wer(said, record["pred_text"]) < 0.2
    require_order(record)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_heard_where_nothing_is_said(engine: str, asr: Asr, tmp_path: Path) -> None:
    """In silence, in noises that no model was trained on, and in scraps."""
    rng = np.random.default_rng(5)
    sounds = {
        "silence": np.zeros(10 * SAMPLE_RATE),
        "long silence": np.zeros(300 * SAMPLE_RATE),
        "scrap": np.zeros(100),
        "hiss": 0.05 * rng.standard_normal(8 * SAMPLE_RATE),
        "rumble": 0.02 * np.cumsum(rng.standard_normal(8 * SAMPLE_RATE)) / 100,
    }
    for name, waveform in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", waveform, SAMPLE_RATE)
    real = sorted((DATA / "noise").glob("[345]-*.wav"))  # where the data are
    found = asr(engine, tmp_path, *real)
    assert texts(found) == [""] * (len(sounds) + len(real))


@pytest.mark.parametrize("engine", ENGINES)
def test_texts_are_never_swapped(
    engine: str,
    whispers: dict[str, Path],
    digits: list[Digit],
    understood: dict[str, list[str]],
    speechkit: Any,
    tmp_path: Path,
) -> None:
    """50 rounds of eight files at once over two workers, in another order each."""
    rng = np.random.default_rng(11)
    different = dict(zip(understood[engine], range(len(digits)), strict=True))
    eight = [different[word] for word in sorted(different)[:8]]
    order = [int(index) for _ in range(50) for index in rng.permutation(eight)]
    manifest = tmp_path / "rounds.jsonl"
    manifest.write_text("".join(digits[index].line + "\n" for index in order))
    command = ["asr", manifest, "--engine", engine, "--model", whispers[engine]]
    options = ["--language", "en", "--workers", 2, "--batch-size", 8]
    done = speechkit(*command, *options)
    found = texts([json.loads(line) for line in done.out.splitlines()])
    assert found == [understood[engine][index] for index in order]


def changed(model: Path, folder: Path, **generation: object) -> Path:
    """A copy of the model whose generation config says something else."""
    copy: Path = shutil.copytree(model, folder / "model")
    path = copy / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
    return copy


def test_a_checkpoint_with_forced_tokens(
    whispers: dict[str, Path],
    held_out: Path,
    understood: dict[str, list[str]],
    asr: Asr,
    tmp_path: Path,
) -> None:
    """As those of 2022: the language of the command line holds, and nothing is said about it."""
    config = json.loads((whispers["whisper"] / "generation_config.json").read_text())
    forced = [[1, config["lang_to_id"]["<|de|>"]], [2, config["task_to_id"]["translate"]]]
    model = changed(whispers["whisper"], tmp_path, forced_decoder_ids=forced)
    found = asr("whisper", held_out, "--limit", 20, model=model)
    assert texts(found) == understood["whisper"][:20]
    assert {record["lang"] for record in found} == {"en"}


def test_an_english_only_checkpoint(
    whispers: dict[str, Path], held_out: Path, speechkit: Any, digits: list[Digit], tmp_path: Path
) -> None:
    model = changed(whispers["whisper"], tmp_path, is_multilingual=False)
    command = ["asr", held_out, "--engine", "whisper", "--model", model, "--limit", 20]
    found = [json.loads(line) for line in speechkit(*command, "--workers", 1).out.splitlines()]
    assert jiwer.wer([digit.text for digit in digits[:20]], texts(found)) < 0.05
    assert {record["lang"] for record in found} == {"en"}
    assert "English-only" in speechkit(*command, "--language", "de", code=2).err


def test_the_language_is_detected_and_reported(
    whispers: dict[str, Path], held_out: Path, speechkit: Any
) -> None:
    command = ["asr", held_out, "--engine", "whisper", "--model", whispers["whisper"]]
    done = speechkit(*command, "--limit", 20, "--workers", 1)
    assert {json.loads(line)["lang"] for line in done.out.splitlines()} == {"en"}
    small = ["--engine", "faster-whisper", "--model", whispers["faster-whisper"]]
    assert "give it with --language" in speechkit("asr", held_out, *small, code=2).err


def test_the_language_that_was_used_is_reported(
    whispers: dict[str, Path], digits: list[Digit], speechkit: Any
) -> None:
    record = {**json.loads(digits[0].line), "lang": "de", "flags": ["hallucination"]}
    command = ["asr", "-", "--engine", "faster-whisper", "--model", whispers["faster-whisper"]]
    out = speechkit(*command, "--language", "en", stdin=json.dumps(record).encode()).out
    assert json.loads(out)["lang"] == "en"
    assert "flags" not in json.loads(out)
