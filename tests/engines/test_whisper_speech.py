"""Both Whisper engines on speech, with the published weights of base and tiny.en."""

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
from whisper_normalizer.english import EnglishTextNormalizer

from audiokit import cut_speech
from runkit import records, write_manifest
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import audio

ENGINES = ["whisper", "faster-whisper"]
ROOT = Path(__file__).resolve().parents[2]
GERMAN, FRENCH = (ROOT / "examples" / "languages" / f"{name}.flac" for name in ("de", "fr"))
#: Those that base understands without an error, and the seconds before each in `talk`.
SENTENCES = {"rms/doctor": 3.0, "rms/music": 1.0, "slt/coffee": 12.0, "slt/story": 8.0}
FEW, SOME = 0.06, 0.34  # of a recording's and of a sentence's words that are misheard: not lost
LATE = 0.3  # seconds that a word may lie outside its sentence

pytestmark = pytest.mark.slow
both_engines = pytest.mark.parametrize("engine", ENGINES)
# What both engines have in common is asked of the faster one.
one_engine = pytest.mark.parametrize("engine", ["faster-whisper"])
normal = EnglishTextNormalizer()


class Sentence(NamedTuple):
    text: str
    start: float  # seconds
    end: float


class Joined(NamedTuple):
    """A recording of sentences with long pauses."""

    path: Path
    sentences: list[Sentence]

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)


Asr = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def asr(whispers: dict[str, Path], speechkit: Any, tmp_path_factory: pytest.TempPathFactory) -> Asr:
    """``asr(engine, input, …)``: the records of a run, which says nothing odd."""

    def run(engine: str, *arguments: object, model: Path | None = None) -> list[dict[str, Any]]:
        out = tmp_path_factory.mktemp("asr") / "asr.jsonl"
        chosen = ["--engine", engine, "--model", model or whispers[engine], "--workers", 1]
        done = speechkit("asr", *arguments, *chosen, "-o", out)
        assert not re.search(r"(?i)warn|deprec|transformers|attention|forced|%\|", done.err)
        return records(out)

    return run


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [record["pred_text"] for record in found]


def words(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [word for segment in record["segments"] for word in segment["words"]]


@pytest.fixture(scope="module")
def sentences(examples: Path) -> list[Path]:
    return [examples / f"{name}.flac" for name in SENTENCES]


@pytest.fixture(scope="module")
def heard(asr: Asr, sentences: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """What each engine makes of the sentences in one batch."""
    return {engine: asr(engine, *sentences) for engine in ENGINES}


def joined(paths: list[Path], gaps: list[float], path: Path) -> Joined:
    parts: list[Any] = []
    sentences: list[Sentence] = []
    at = 0.0
    for source, gap in zip(paths, gaps, strict=True):
        waveform = audio.load(source, sample_rate=SAMPLE_RATE).waveform
        start = at + gap
        at = start + len(waveform) / SAMPLE_RATE
        sentences.append(Sentence(source.with_suffix(".txt").read_text().strip(), start, at))
        parts += [np.zeros(round(gap * SAMPLE_RATE), np.float32), waveform]
    speech = np.concatenate(parts)
    room = np.random.default_rng(7).normal(0, 3e-4, len(speech))
    soundfile.write(path, speech + room, SAMPLE_RATE)
    return Joined(path, sentences)


@pytest.fixture(scope="module")
def talk(sentences: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Joined:
    gaps = [*SENTENCES.values()]
    return joined(sentences, gaps, tmp_path_factory.mktemp("joined") / "talk.wav")


def test_every_word_is_understood_by_both_engines(heard: dict[str, list[dict[str, Any]]]) -> None:
    for engine in ENGINES:
        for record in heard[engine]:
            assert normal(record["pred_text"]) == normal(record["text"])
            assert record["lang"] == "en"
            assert "flags" not in record


def test_neither_the_batch_nor_forced_tokens_change_a_text(
    whispers: dict[str, Path], heard: dict[str, list[dict[str, Any]]], asr: Asr, tmp_path: Path
) -> None:
    """A checkpoint of 2022 forces tokens: the language of the command line holds, and nothing is
    said about it. `test_window_lengths` asks of faster-whisper what a batch changes."""
    model: Path = shutil.copytree(whispers["whisper"], tmp_path / "model")
    path = model / "generation_config.json"
    config = json.loads(path.read_text())
    forced = [[1, config["lang_to_id"]["<|de|>"]], [2, config["task_to_id"]["translate"]]]
    path.write_text(json.dumps({**config, "forced_decoder_ids": forced}))
    two = heard["whisper"][1:3]
    paths = (record["audio_filepath"] for record in two)
    alone = asr("whisper", *paths, "--batch-size", 1, "--language", "en", model=model)
    assert texts(alone) == texts(two)
    assert [record["lang"] for record in alone] == ["en", "en"]


def require_order(record: dict[str, Any]) -> None:
    for all_of in (record["segments"], words(record)):
        times = [time for one in all_of for time in (one["start"], one["end"])]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= record["duration"]


@pytest.mark.parametrize(
    ("engine", "vad"),
    [("whisper", "silero"), ("faster-whisper", "ten"), ("faster-whisper", None)],
)
def test_a_long_recording_keeps_every_word_and_its_place(
    engine: str, vad: str | None, asr: Asr, talk: Joined, speechkit: Any, tmp_path: Path
) -> None:
    source = talk.path
    if vad is not None:
        source = tmp_path / "vad.jsonl"
        speechkit("vad", talk.path, "--engine", vad, "-o", source)
    (record,) = asr(engine, source, "--words")
    heard = jiwer.process_words(normal(talk.text), normal(record["pred_text"]))
    assert heard.wer < FEW
    assert not heard.deletions
    assert not {"gaps", "flags"} & record.keys()
    require_order(record)
    said = words(record)
    for sentence in talk.sentences:
        inside = [
            word["word"]
            for word in said
            if sentence.start - LATE < word["start"] and word["end"] < sentence.end + LATE
        ]
        assert jiwer.wer(normal(sentence.text), normal(" ".join(inside))) < SOME
    for segment in record["segments"]:
        assert (
            sum(segment["start"] < one.end and segment["end"] > one.start for one in talk.sentences)
            == 1
        ), segment["text"]


@one_engine
def test_nothing_is_heard_where_nothing_is_said(
    engine: str, asr: Asr, speechkit: Any, tmp_path: Path
) -> None:
    """In silence, noises and scraps: at most what is flagged, without VAD; nothing with."""
    rng = np.random.default_rng(5)
    sounds = {
        "silence": np.zeros(10 * SAMPLE_RATE),
        "long silence": np.zeros(100 * SAMPLE_RATE),
        "scrap": np.zeros(100),
        "hiss": 0.05 * rng.standard_normal(8 * SAMPLE_RATE),
        "rumble": 0.02 * np.cumsum(rng.standard_normal(8 * SAMPLE_RATE)) / 100,
    }
    for name, waveform in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", waveform, SAMPLE_RATE)
    for record in asr(engine, tmp_path):
        assert not record["pred_text"] or record["flags"], record["pred_text"]
    vad = tmp_path / "vad.jsonl"
    speechkit("vad", tmp_path, "-o", vad)
    assert texts(asr(engine, vad)) == [""] * len(sounds)


@one_engine
def test_texts_are_never_swapped(
    engine: str, untrained: dict[str, Path], speechkit: Any, tmp_path: Path
) -> None:
    """Ten rounds of eight files at once over two workers, in another order each; the model has
    learnt nothing, and says of each file something else."""
    speech = cut_speech(tmp_path / "speech", 16, longest=1.6, seed=4)
    chosen = ["--engine", engine, "--model", untrained[engine]]
    options = ["--language", "en", "--temperature", 0]
    done = speechkit("asr", speech, *chosen, *options)
    found = records(done.out)
    eight = list({record["pred_text"]: record for record in found}.values())[:8]
    assert len(eight) == 8
    rng = np.random.default_rng(11)
    order = [int(index) for _ in range(10) for index in rng.permutation(8)]
    manifest = tmp_path / "rounds.jsonl"
    paths = [{"audio_filepath": eight[index]["audio_filepath"]} for index in order]
    write_manifest(manifest, ({**line, "id": str(n)} for n, line in enumerate(paths)))
    done = speechkit("asr", manifest, *chosen, *options, "--workers", 2, "--batch-size", 8)
    again = texts(records(done.out))
    assert again == [eight[index]["pred_text"] for index in order]


@both_engines
def test_an_english_only_checkpoint(
    engine: str,
    english_whispers: dict[str, Path],
    asr: Asr,
    examples: Path,
    speechkit: Any,
) -> None:
    model = english_whispers[engine]
    (found,) = asr(engine, examples / "rms" / "music.flac", model=model)
    assert normal(found["pred_text"]) == normal(found["text"])
    assert found["lang"] == "en"
    command = ["asr", examples, "--engine", engine, "--model", model, "--language", "de"]
    assert "English-only" in speechkit(*command, code=2).err


@one_engine
def test_the_language_that_was_used_is_reported(engine: str, asr: Asr, tmp_path: Path) -> None:
    manifest = tmp_path / "in.jsonl"
    manifest.write_text(
        json.dumps({"audio_filepath": str(GERMAN), "lang": "fr", "flags": ["hallucination"]})
    )
    (found,) = asr(engine, manifest, "--task", "translate")
    assert found["lang"] == "de"
    assert "flags" not in found
    assert "weather" in found["pred_text"]
    (found,) = asr(engine, manifest, "--language", "en,it")
    assert found["lang"] in ("en", "it")


@one_engine
def test_a_recording_that_changes_its_language(engine: str, asr: Asr, tmp_path: Path) -> None:
    both = joined([GERMAN, FRENCH], [1.0, 4.0], tmp_path / "both.wav")
    (found,) = asr(engine, both.path, "--language", "each")
    assert [segment["lang"] for segment in found["segments"]][:: len(found["segments"]) - 1] == [
        "de",
        "fr",
    ]
    assert jiwer.wer(normal(both.text), normal(found["pred_text"])) < 0.25
