"""Both Whisper engines from the command line, on real files of a model that has learnt nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.whisper.generation_whisper import _dynamic_time_warping

import entrypointkit
from audiokit import whole
from runkit import records
from speechkit.engines import registry
from speechkit.engines.asr.whisper.alignment import first_frames, median, starts
from speechkit.engines.asr.whisper.backend import Search
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import UsageError
from speechkit.io import audio
from whisperkit import WINDOW

ENGINES = ["whisper", "faster-whisper"]
GREEDY = ["--language", "en", "--temperature", "0"]


@pytest.fixture(scope="module")
def segmented(speechkit: Any, examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("vad") / "vad.jsonl"
    speechkit("vad", examples, "--engine", "silero", "-o", out)
    return out


def chosen(untrained: dict[str, Path], engine: str) -> list[object]:
    return ["--engine", engine, "--model", untrained[engine]]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("source", ["segments", "whole"])
def test_every_utterance_once_with_times_inside(
    source: str,
    engine: str,
    untrained: dict[str, Path],
    segmented: Path,
    examples: Path,
    speechkit: Any,
    tmp_path: Path,
) -> None:
    given = {"segments": segmented, "whole": examples}[source]
    summary = tmp_path / "summary.json"
    done = speechkit(
        "asr", given, *chosen(untrained, engine), *GREEDY, "--words", "--summary", summary
    )
    found = records(done.out)
    assert [r["audio_filepath"] for r in found] == [
        r["audio_filepath"] for r in records(segmented.read_bytes())
    ]
    assert not re.search(r"(?i)warn|deprecat|transformers|attention mask|%\|", done.err), done.err
    for record in found:
        assert record["segments"], "a model of random weights says something of any speech"
        words = [word for segment in record["segments"] for word in segment["words"]]
        for one in [*record["segments"], *words]:
            assert 0 <= one["start"] <= one["end"] <= record["duration"]
        assert [w["start"] for w in words] == sorted(w["start"] for w in words)
        assert [s["start"] for s in record["segments"]] == sorted(
            s["start"] for s in record["segments"]
        )
    device = json.loads(summary.read_text())["device"]
    assert device["name"] == "cpu"
    assert device["batch_size"] == {"whisper": 16, "faster-whisper": 4}[engine]
    assert 0 < device["share"] <= 1


CHANGING = ("prompt", "hotwords", "timestamps", "sampled")  # what random weights say


def test_the_options_people_use(
    untrained: dict[str, Path], segmented: Path, speechkit: Any
) -> None:
    command = ["asr", segmented, *chosen(untrained, "faster-whisper"), *GREEDY, "--limit", 3]
    variants = {
        "plain": [],
        "beam": ["--beam-size", 3, "--compute-type", "float32"],
        "prompt": ["--initial-prompt", "one two three"],
        "hotwords": ["--hotwords", "seven"],
        "translate": ["--task", "translate"],
        "timestamps": ["--timestamps"],
        "sampled": ["--temperature", "0.7,1"],
    }
    texts = {
        name: [record["pred_text"] for record in records(speechkit(*command, *options).out)]
        for name, options in variants.items()
    }
    for name in CHANGING:
        assert texts[name] != texts["plain"], name
    again = speechkit(*command, *variants["sampled"]).out
    assert [record["pred_text"] for record in records(again)] == texts["sampled"]


@pytest.mark.slow
def test_the_same_options_on_transformers(untrained: dict[str, Path], examples: Path) -> None:
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "beam": {"beam_size": 3, "compute_type": "bfloat16"},
        "prompt": {"initial_prompt": "one two three"},
        "hotwords": {"hotwords": "seven"},
        "translate": {"task": "translate"},
        "timestamps": {"timestamps": True},
        "sampled": {"temperature": (0.7, 1.0)},
        "sampled again": {"temperature": (0.7, 1.0)},
    }
    sound = sorted(examples.rglob("*.flac"))[0]
    window = audio.load(sound, duration=WINDOW, sample_rate=SAMPLE_RATE).waveform
    texts = {}
    for name, options in variants.items():
        given = {"language": "en", "temperature": (0.0,), **options}
        engine = registry.create("asr", "whisper", model=str(untrained["whisper"]), **given)
        ((heard,),) = engine.transcribe([[whole(window)]])
        texts[name] = heard.text
    for name in CHANGING:
        assert texts[name] != texts["plain"], name
    assert texts["sampled again"] == texts["sampled"]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--task", "summarise"], 2, "--task summarise"),
        (["--temperature", "hot"], 2, "--temperature hot"),
        (["--batch-size", "0"], 2, "--batch-size 0"),
        (["--device", "gpu"], 2, "--device gpu: whisper runs on"),
        (["--model", "/no/such/model"], 1, "no such folder"),
        (["--model", "nobody/nothing"], 1, "speechkit models get nobody/nothing --engine whisper"),
        (["--model", "two words"], 1, "model two words: "),
    ],
)
def test_what_cannot_be_meant(
    options: list[str],
    code: int,
    sentence: str,
    untrained: dict[str, Path],
    segmented: Path,
    speechkit: Any,
) -> None:
    done = speechkit("asr", segmented, *chosen(untrained, "whisper"), *options, code=code)
    (line,) = [line for line in done.err.splitlines() if line.startswith("speechkit: ")]
    assert sentence in line


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_engine_cannot_be_told(engine: str, untrained: dict[str, Path]) -> None:
    for options, sentence in (
        ({"language": "klingon"}, "--language klingon"),
        ({"language": "en", "compute_type": "int3"}, "--compute-type int3"),
        ({"language": "en", "device": "cuda:0"}, "no CUDA device"),
        ({"language": "en", "device": "mps"}, "--device mps"),
    ):
        with pytest.raises(UsageError, match=sentence):
            registry.create("asr", engine, model=str(untrained[engine]), **options)


def test_a_folder_that_is_no_model(
    examples: Path, segmented: Path, untrained: dict[str, Path], speechkit: Any
) -> None:
    for engine in ENGINES:
        done = speechkit("asr", segmented, "--engine", engine, "--model", examples, code=1)
        assert str(examples) in done.err
    swapped = ["--engine", "faster-whisper", "--model", untrained["whisper"]]
    assert "ct2-transformers-converter" in speechkit("asr", segmented, *swapped, code=1).err


def test_options_of_another_engine(segmented: Path, speechkit: Any) -> None:
    light = ("asr", segmented, "--engine", "pocketsphinx")
    done = speechkit(*light, "--beam-size", 5, "--language", "en", code=2)
    assert "--language, --beam-size: not for the engine pocketsphinx" in done.err


@pytest.mark.slow
@pytest.mark.parametrize(("fits", "failed"), [(3, 0), (0, 12)])
def test_memory_that_runs_out(
    fits: int,
    failed: int,
    untrained: dict[str, Path],
    segmented: Path,
    speechkit: Any,
    tmp_path: Path,
) -> None:
    """The real engine on a device that holds so many windows: halved, remembered, reported."""
    site = entrypointkit.declare(tmp_path / "site", "crowded", {"crowded": "crowded:INFO"})
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    options = ["--engine", "crowded", "--model", untrained["whisper"], "--language", "en"]
    options += ["--temperature", "0", "--batch-size", 8, "--workers", 1]
    speechkit(
        *("asr", segmented, *options, "-o", out, "--summary", summary),
        code=3 if failed else 0,
        env=entrypointkit.path(site, Path(__file__).parent) | {"CROWDED_FITS": str(fits)},
    )
    found = records(out.read_bytes())
    assert len(found) == 12
    kinds = [record["error"]["type"] for record in found if "error" in record]
    assert kinds == ["OutOfMemory"] * failed
    assert json.loads(summary.read_text())["device"]["batch_size"] == (2 if fits else 1)


def test_tokens_lie_where_the_heads_look() -> None:
    weights = torch.full((2, 2, 4, 100), 1e-3)
    for row, (first, last) in enumerate([(10, 30), (30, 55), (55, 70), (70, 80)]):
        weights[:, :, row, first:last] = 1.0
    found, short = starts(weights, [3, 1], [1.6, 0.9])
    assert found[1:] == pytest.approx([0.6, 1.1, 1.4], abs=0.05)
    assert short[1:] == pytest.approx([0.6], abs=0.05)


def test_the_cheapest_paths_are_those_of_transformers() -> None:
    """Each alone, and all at once."""
    random = torch.Generator().manual_seed(1)
    shapes = [(1, 1), (1, 9), (9, 1), (7, 40), (30, 150)]
    costs = [torch.randn(shape, generator=random) for shape in shapes]
    together = first_frames(costs)
    for cost, found in zip(costs, together, strict=True):
        rows, columns = _dynamic_time_warping(cost.double().numpy())
        first = [int(columns[rows == row][0]) for row in range(len(cost))]
        assert found[: len(cost)].tolist() == first
        assert first_frames([cost])[0].tolist() == first


def test_the_median_is_numpys() -> None:
    weights = np.random.default_rng(2).random((2, 3, 40), np.float32)
    padded = np.pad(weights, [(0, 0), (0, 0), (3, 3)], mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 7, axis=-1)
    assert np.array_equal(median(torch.from_numpy(weights)), np.median(around, axis=-1))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_draft_is_as_long_as_it_may_be(
    engine: str, whispers: dict[str, Path], examples: Path
) -> None:
    whisper: Any = registry.create("asr", engine, model=str(whispers[engine]), language="en")
    backend = whisper._backend
    story = audio.load(str(examples / "slt" / "story.flac"), sample_rate=SAMPLE_RATE).waveform
    encoded = backend.encode(backend.features([story]), 1)
    for most in (5, 12):
        (draft,) = backend.decode(encoded, [whisper._prompt("en")], Search(), [most], 1)
        assert len(draft.tokens) == most
