"""The decoding loop against transformers' generate(): the same tokens, and how likely they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from speechkit.engines import registry
from speechkit.engines.asr.whisper.backend import Draft, Search
from speechkit.engines.asr.whisper.decoding_loop import DecodingLoop, _Sampling
from speechkit.engines.asr.whisper.decoding_state import DecodingState
from speechkit.engines.asr.whisper.token_rules import TokenRules
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import audio

SPOKEN = ("1688-142285-0000", "2033-164914-0003", "2609-156975-0001", "3080-5032-0000")
CONTEXT = "He hoped there would be stew for dinner, turnips and carrots."
GREEDY = Search()


class Models:
    """An engine's backend with some windows, and what transformers makes of them."""

    def __init__(self, folder: Path, windows: int, files: list[Path]) -> None:
        whisper: Any = registry.create("asr", "whisper", model=str(folder), language="en")
        self.backend = whisper._backend
        waveforms = [audio.load(str(file), sample_rate=SAMPLE_RATE).waveform for file in files]
        longest = round(self.backend.chunk * SAMPLE_RATE)
        parts = [one[:longest] for one in waveforms][:windows]
        self.encoded = self.backend.encode(self.backend.features(parts))

    def prompt(self, *, stamps: bool = False, context: str = "") -> list[int]:
        vocabulary = self.backend.vocabulary
        before = vocabulary.context(context, 100) if context else []
        start = vocabulary.start("en", "transcribe")
        return [*before, *start, *([] if stamps else [vocabulary.no_timestamps])]

    def drafts(self, prompt: list[int], search: Search = GREEDY, most: int = 60) -> list[Draft]:
        count = len(self.encoded)
        return self._decoded(self.encoded, [prompt] * count, search, [most] * count, count)

    def alone(self, prompt: list[int], search: Search = GREEDY, most: int = 60) -> list[Draft]:
        return [
            self._decoded(self.encoded[[row]], [prompt], search, [most], 1)[0]
            for row in range(len(self.encoded))
        ]

    def _decoded(self, *given: Any) -> list[Draft]:
        found: list[Draft] = self.backend.decode(*given)
        return found

    @torch.inference_mode()
    def theirs(self, prompt: list[int], most: int = 60) -> list[Draft]:
        """Greedy, of each window alone."""
        return [self._theirs(self.encoded[[row]], prompt, most) for row in range(len(self.encoded))]

    def _theirs(self, part: Any, prompt: list[int], most: int) -> Draft:
        model, generation = self.backend._model, self.backend._generation
        vocabulary = self.backend.vocabulary
        generation.max_length = min(self.backend.longest, len(prompt) + most)
        rules = LogitsProcessorList()
        if vocabulary.no_timestamps not in prompt:
            rules.append(WhisperTimeStampLogitsProcessor(generation, begin_index=len(prompt)))
        given = BaseModelOutput(last_hidden_state=part)
        made: Any = GenerationMixin.generate(
            model,
            encoder_outputs=given,
            attention_mask=torch.ones(part.shape[:2], dtype=torch.long),
            decoder_input_ids=torch.tensor([prompt]),
            decoder_attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            logits_processor=rules,
            output_scores=True,
        )
        tokens = made.sequences[0, len(prompt) :].tolist()
        likely = [
            float(scores.log_softmax(-1)[0, token])
            for scores, token in zip(made.scores, tokens, strict=True)
        ]
        start = torch.tensor([[vocabulary.sot]])
        opening = model(encoder_outputs=given, decoder_input_ids=start).logits[0, 0].softmax(-1)
        said = tokens[: tokens.index(vocabulary.eot)] if vocabulary.eot in tokens else tokens
        return Draft(said, sum(likely) / len(likely), float(opening[vocabulary.no_speech]))


@pytest.fixture(scope="module")
def english(english_whispers: dict[str, Path], data: Path) -> Models:
    files = [data / "librispeech" / f"{name}.flac" for name in SPOKEN]
    return Models(english_whispers["whisper"], 2, files)


@pytest.fixture(scope="module")
def wild(untrained: dict[str, Path], examples: Path) -> Models:
    """Random weights, which end where they like."""
    return Models(untrained["whisper"], 3, sorted(examples.rglob("*.flac")))


def assert_same(found: list[Draft], expected: list[Draft]) -> None:
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
        assert one.no_speech == pytest.approx(other.no_speech, abs=1e-5)


@pytest.mark.slow
def test_speech_is_decoded_as_by_generate(english: Models) -> None:
    for prompt in (english.prompt(context=CONTEXT), english.prompt(stamps=True)):
        expected = english.theirs(prompt)
        assert all(len(one.tokens) > 5 for one in expected)
        assert_same(english.drafts(prompt), expected)
        assert_same(english.alone(prompt), expected)


@pytest.mark.parametrize("stamps", [False, True])
def test_random_weights_are_decoded_as_by_generate(stamps: bool, wild: Models) -> None:
    for context, most in (("", 60), (CONTEXT, 60), ("", 3)):
        prompt = wild.prompt(stamps=stamps, context=context)
        expected = wild.theirs(prompt, most)
        assert_same(wild.drafts(prompt, most=most), expected)
        assert_same(wild.alone(prompt, most=most), expected)


def test_what_is_suppressed_is_never_said(wild: Models) -> None:
    backend, prompt = wild.backend, wild.prompt()
    free = wild.drafts(prompt)
    first, later = free[0].tokens[0], free[0].tokens[5]
    backend._generation.begin_suppress_tokens = [first]
    backend._generation.suppress_tokens = [later]
    try:
        loop = DecodingLoop(backend._model, backend.vocabulary, backend._generation)
        found = loop.decode(wild.encoded, [prompt] * 3, GREEDY, [60] * 3, 3)
        assert [one.tokens for one in found] == [one.tokens for one in wild.theirs(prompt)]
    finally:
        backend._generation.begin_suppress_tokens = backend._generation.suppress_tokens = None
    assert found[0].tokens[0] != first
    assert all(later not in one.tokens for one in found)


def test_windows_end_one_after_the_other(wild: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is here what the first window says sixth."""
    prompt = wild.prompt()
    end = wild.drafts(prompt)[0].tokens[5]
    monkeypatch.setattr(wild.backend.vocabulary, "eot", end)
    monkeypatch.setattr(wild.backend._generation, "eos_token_id", end)
    monkeypatch.setattr(wild.backend._generation, "pad_token_id", end)
    found = wild.drafts(prompt)
    assert len(found[0].tokens) <= 5 < max(len(one.tokens) for one in found)
    assert_same(found, wild.theirs(prompt))


class Called:
    """In place of captured graphs: the same steps, called. ``rows`` and ``span`` of each."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def replay(self, step: Any, work: Callable[[Any], None]) -> None:
        self.steps.append(step)
        work(step)

    def clear(self) -> None: ...


def test_steps_of_the_sizes_that_are_captured(wild: Models) -> None:
    backend, hidden = wild.backend, wild.encoded
    for stamps in (False, True):
        prompts = [wild.prompt(stamps=stamps)] * len(hidden)
        expected = [one.tokens for one in wild.drafts(prompts[0])]
        loop = DecodingLoop(backend._model, backend.vocabulary, backend._generation)
        loop._graphs = graphs = Called()  # type: ignore[assignment]
        found = loop.decode(hidden, prompts, GREEDY, [60] * 3, 8)
        assert [one.tokens for one in found] == expected
        assert {(step.rows, step.span) for step in graphs.steps} == {(4, backend.longest)}


def test_chance_has_a_seed(wild: Models) -> None:
    prompt = wild.prompt()

    def texts(temperature: float, seed: int) -> list[list[int]]:
        return [one.tokens for one in wild.drafts(prompt, Search(1, temperature, seed))]

    assert texts(1.0, 7) == texts(1.0, 7) != texts(1.0, 8)
    alone = wild.alone(prompt, Search(1, 1.0, 7))
    assert texts(1.0, 7) == [one.tokens for one in alone]
    assert texts(1e-4, 7) == [one.tokens for one in wild.theirs(prompt)]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    shares = torch.tensor([0.0, 0.1, 0.0, 0.3, 0.6, 0.0])
    chance = _Sampling(Search(temperature=0.5, seed=1))
    drawn = torch.cat([chance(shares.log()[None]) for _ in range(5000)])
    expected = (shares**2 / (shares**2).sum()).tolist()
    assert (torch.bincount(drawn, minlength=6) / 5000).tolist() == pytest.approx(expected, abs=0.02)


def test_the_timestamp_rules_are_those_of_transformers(wild: Models) -> None:
    """After random sequences, many of them timestamps."""
    vocabulary = wild.backend.vocabulary
    generation = GenerationConfig(
        eos_token_id=vocabulary.eot,
        no_timestamps_token_id=vocabulary.no_timestamps,
        max_initial_timestamp_index=50,
        suppress_tokens=[11, 12],
        begin_suppress_tokens=[220],
    )
    random, rows, size = torch.Generator().manual_seed(1), 16, 51_865
    rules = TokenRules(vocabulary, generation, size, torch.device("cpu"))
    theirs = WhisperTimeStampLogitsProcessor(generation, begin_index=1)
    marks = DecodingState.empty(rows, 1, torch.device("cpu")).marks
    rules.begin(marks)
    said = torch.full((rows, 1), vocabulary.sot)
    for place in range(12):
        logits = torch.randn(rows, size, generator=random)
        logits[: rows // 2, vocabulary.timestamps :] += 6 * (place % 2)
        expected = logits.clone()
        expected[:, [11, 12, *([220] if place == 0 else [])]] = -torch.inf
        expected = theirs(said, expected)
        scores = rules.allowed(logits, marks, first=place == 0)
        assert torch.equal(scores, expected)
        chosen = scores.softmax(-1).multinomial(1, generator=random)
        rules.note(marks, chosen[:, 0], first=place == 0)
        said = torch.cat([said, chosen], 1)
    stamps = said >= vocabulary.timestamps
    assert 0.2 < float(stamps.float().mean()) < 0.8


def test_caches_come_again_after_memory_was_given_back(wild: Models) -> None:
    prompt = wild.prompt()
    expected = wild.drafts(prompt)
    wild.backend.free_memory()
    assert wild.drafts(prompt) == expected
    wild.backend.free_memory()
    assert_same(wild.alone(prompt), expected)  # of one row each
    assert_same(wild.drafts(prompt), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("search", [GREEDY, Search(temperature=0.8, seed=4)])
def test_captured_steps(search: Search, untrained: dict[str, Path], wild: Models) -> None:
    """On the device, in float32, again and again, with graphs and without."""
    whisper: Any = registry.create(
        "asr", "whisper", model=str(untrained["whisper"]), device="cuda", compute_type="float32"
    )
    loop, hidden = whisper._backend._loop, wild.encoded.to("cuda")
    for stamps in (False, True):
        prompts = [wild.prompt(stamps=stamps)] * len(hidden)
        expected = [one.tokens for one in wild.drafts(prompts[0], search)]
        for _ in range(2):
            for rows in (3, 2):
                found = loop.decode(hidden, prompts, search, [60] * 3, rows)
                assert [one.tokens for one in found] == expected
    loop.free()
    found = loop.decode(hidden, prompts, search, [60] * 3, 3)
    assert [one.tokens for one in found] == expected
