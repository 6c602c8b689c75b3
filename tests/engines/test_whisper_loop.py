"""The decoding loop against transformers' generate(): the same tokens, and how likely they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
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
from speechkit.engines.batch_size import BatchSize
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import audio
from whisperkit import theirs

SPOKEN = ("1688-142285-0000", "2033-164914-0003", "2609-156975-0001", "3080-5032-0000")
CONTEXT = "He hoped there would be stew for dinner, turnips and carrots."
GREEDY = Search()


class Models:
    """An engine's backend with some windows, and what transformers makes of them."""

    def __init__(self, backend: Any, peer: tuple[Any, Any], waveforms: list[Any]) -> None:
        self.backend = backend
        self.model, self.generation = self.peer = peer
        longest = round(backend.chunk * SAMPLE_RATE)
        self.encoded = backend.encode(backend.features([one[:longest] for one in waveforms]), 1)

    @staticmethod
    def load(folder: Path, files: list[Path]) -> Models:
        whisper: Any = registry.create("asr", "whisper", model=str(folder), language="en")
        return Models(whisper._backend, theirs(folder), list(map(waveform, files)))

    def loop(self, graphs: Any) -> Any:
        backend = self.backend
        made = DecodingLoop(backend._layers, backend.vocabulary, backend._checkpoint.generation)
        made._graphs = graphs
        return made

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
            self._decoded(part, [prompt], search, [most], 1)[0] for part in self.encoded.split(1)
        ]

    def _decoded(self, *given: Any) -> list[Draft]:
        found: list[Draft] = self.backend.decode(*given)
        return found

    @torch.inference_mode()
    def theirs(self, prompt: list[int], most: int = 60, windows: int = 99) -> list[Draft]:
        """Greedy, of each window alone."""
        return [self._theirs(part, prompt, most) for part in self.encoded[:windows].split(1)]

    def _theirs(self, part: Any, prompt: list[int], most: int) -> Draft:
        model, generation = self.model, self.generation
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


def waveform(file: Path) -> Any:
    return audio.load(str(file), sample_rate=SAMPLE_RATE).waveform


@pytest.fixture(scope="module")
def english(english_whispers: dict[str, Path], data: Path) -> Models:
    files = [data / "librispeech" / f"{name}.flac" for name in SPOKEN]
    return Models.load(english_whispers["whisper"], files[:2])


@pytest.fixture(scope="module")
def wild(untrained: dict[str, Path], examples: Path) -> Models:
    """Random weights, which end where they like."""
    return Models.load(untrained["whisper"], sorted(examples.rglob("*.flac"))[:3])


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
    opening = wild.backend._loop.opening(wild.encoded).softmax(-1)
    no_speech = opening[:, wild.backend.vocabulary.no_speech].tolist()
    assert no_speech == pytest.approx([one.no_speech for one in expected], abs=1e-5)


def test_what_is_suppressed_is_never_said(wild: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, prompt = wild.backend, wild.prompt()
    free = wild.drafts(prompt)
    first, later = free[0].tokens[0], free[0].tokens[5]
    rules = replace(
        backend._checkpoint.generation, begin_suppress_tokens=(first,), suppress_tokens=(later,)
    )
    loop = DecodingLoop(backend._layers, backend.vocabulary, rules)
    found = loop.decode(wild.encoded, [prompt] * 3, GREEDY, [60] * 3, 3)
    monkeypatch.setattr(wild.generation, "begin_suppress_tokens", [first])
    monkeypatch.setattr(wild.generation, "suppress_tokens", [later])
    assert [one.tokens for one in found] == [one.tokens for one in wild.theirs(prompt)]
    assert found[0].tokens[0] != first
    assert all(later not in one.tokens for one in found)


def test_what_is_never_first_may_continue_a_text(wild: Models) -> None:
    backend, prompt = wild.backend, wild.prompt()
    text = wild.drafts(prompt)[0].tokens
    rules = replace(backend._checkpoint.generation, begin_suppress_tokens=(text[0], text[5]))
    loop = DecodingLoop(backend._layers, backend.vocabulary, rules)
    (found,) = loop.decode(wild.encoded[:1], [[*prompt, *text[:5]]], GREEDY, [7], 1)
    assert found.tokens == text[5:12]
    (begun,) = loop.decode(wild.encoded[:1], [prompt], GREEDY, [7], 1)
    assert begun.tokens[0] != text[0]


@pytest.fixture
def crowd(wild: Models, examples: Path, monkeypatch: pytest.MonkeyPatch) -> Models:
    """Eleven windows; the end is what the first one says sixth, so that some end before others."""
    files = sorted(examples.rglob("*.flac"))[:11]
    many = Models(wild.backend, wild.peer, list(map(waveform, files)))
    end = many.drafts(many.prompt())[0].tokens[5]
    monkeypatch.setattr(wild.backend.vocabulary, "eot", end)
    monkeypatch.setattr(wild.generation, "eos_token_id", end)
    monkeypatch.setattr(wild.generation, "pad_token_id", end)
    return many


def test_windows_end_one_after_the_other(crowd: Models) -> None:
    found = crowd.drafts(crowd.prompt())
    assert len(found[0].tokens) <= 5 < max(len(one.tokens) for one in found)
    assert_same(found[:3], crowd.theirs(crowd.prompt(), windows=3))


@pytest.mark.parametrize(("stamps", "captured"), [(False, True), (True, False)])
def test_batch_and_rows_change_nothing(
    stamps: bool, captured: bool, crowd: Models, seed: int
) -> None:
    """Each window has its own limit; the rows are fewer than the windows, or more."""
    loop = crowd.loop(Called() if captured else None)
    random = Random(seed)
    count = len(crowd.encoded)
    limits = [random.choice([1, 2, 3, 7, 8, 9, 20]) for _ in range(count)]
    prompts = [crowd.prompt(stamps=stamps)] * count
    alone = loop.decode(crowd.encoded, prompts, GREEDY, limits, 1)
    assert all(len(one.tokens) <= limit for one, limit in zip(alone, limits, strict=True))
    for rows in (3, 8, 40):
        assert_same(loop.decode(crowd.encoded, prompts, GREEDY, limits, rows), alone)
    order = random.sample(range(count), count)
    mixed = [limits[window] for window in order]
    found = loop.decode(crowd.encoded[order], prompts, GREEDY, mixed, 3)
    assert_same(found, [alone[window] for window in order])


def test_beams_end_at_the_limit_of_their_window(crowd: Models) -> None:
    backend, limits = crowd.backend, [3, 20, 1, 8]
    prompts = [crowd.prompt()] * 4
    search = Search(beams=3)
    together = backend.decode(crowd.encoded[:4], prompts, search, limits, 4)
    alone = [
        backend.decode(part, prompts[:1], search, [limit], 1)[0]
        for part, limit in zip(crowd.encoded[:4].split(1), limits, strict=True)
    ]
    assert_same(together, alone)
    lengths = [len(one.tokens) for one in together]
    assert any(map(int.__eq__, lengths, limits))
    assert all(map(int.__le__, lengths, limits))


def test_all_rows_end_at_once(crowd: Models) -> None:
    prompts, limits = [crowd.prompt()] * 4, [1] * 4
    hidden = crowd.encoded[[1] * 4]
    first, *others = crowd.loop(None).decode(hidden, prompts, GREEDY, limits, 2)
    assert_same(others, [first] * 3)
    assert len(first.tokens) == 1


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_memory_that_runs_out_when_windows_begin(
    moment: int, crowd: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it does, nothing is lost."""
    backend, layers = crowd.backend, crowd.backend._layers
    batch = BatchSize(4, backend.out_of_memory, backend.free_memory, each=2)

    def decode(windows: Sequence[int]) -> list[Draft]:
        limits = [10 + window for window in windows]
        prompts = [crowd.prompt()] * len(windows)
        hidden = crowd.encoded[windows[0] : windows[-1] + 1]
        drafts: list[Draft] = backend.decode(hidden, prompts, GREEDY, limits, batch.size)
        return drafts

    expected = batch.map_halving(range(11), decode)
    prefill, begun = layers.prefill, [0]

    def crowded(*given: Any) -> Any:
        begun.append(len(given[0]))
        if len(begun) == moment + 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return prefill(*given)

    monkeypatch.setattr(layers, "prefill", crowded)
    assert_same(batch.map_halving(range(11), decode), expected)
    assert max(begun[moment + 1 :]) == batch.size == 2


class Called:
    """In place of captured graphs: the same steps, called. ``rows`` and ``span`` of each."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def replay(self, step: Any, work: Callable[[Any], None]) -> None:
        self.steps.append(step)
        work(step)

    def clear(self) -> None: ...


def test_steps_of_the_sizes_that_are_captured(crowd: Models) -> None:
    """Powers of two, and the rows that there are."""
    for rows, windows, expected in ((8, 3, [4, 2, 1]), (6, 9, [6, 4, 2, 1])):
        loop = crowd.loop(graphs := Called())
        prompts, limits = [crowd.prompt()] * windows, list(range(2, 10 * windows, 10))
        loop.decode(crowd.encoded[:windows], prompts, GREEDY, limits, rows)
        rows_of_steps = [step.rows for step in graphs.steps]
        assert rows_of_steps[0] == expected[0] > rows_of_steps[-1]
        assert set(rows_of_steps) <= set(expected)
        assert {step.span for step in graphs.steps} == {crowd.backend.longest}


def test_chance_has_a_seed(wild: Models) -> None:
    prompt = wild.prompt()

    def texts(temperature: float, seed: int) -> list[list[int]]:
        return [one.tokens for one in wild.drafts(prompt, Search(1, temperature, seed), 8)]

    assert texts(1.0, 7) == texts(1.0, 7) != texts(1.0, 8)
    alone = wild.alone(prompt, Search(1, 1.0, 7), 8)
    assert texts(1.0, 7) == [one.tokens for one in alone]
    assert texts(1e-4, 7) == [one.tokens for one in wild.theirs(prompt, 8)]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    shares = torch.tensor([0.0, 0.1, 0.0, 0.3, 0.6, 0.0])
    chance = _Sampling(Search(temperature=0.5, seed=1))
    drawn = torch.cat([chance(shares.log()[None]) for _ in range(5000)])
    expected = (shares**2 / (shares**2).sum()).tolist()
    assert (torch.bincount(drawn, minlength=6) / 5000).tolist() == pytest.approx(expected, abs=0.02)


def test_the_timestamp_rules_are_those_of_transformers(wild: Models) -> None:
    """After random sequences, many of them timestamps."""
    vocabulary = wild.backend.vocabulary
    generation: Any = GenerationConfig(
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
def test_captured_steps(search: Search, untrained: dict[str, Path], crowd: Models) -> None:
    """On the device, in float32, with graphs and without, in rows that others have left."""
    whisper: Any = registry.create(
        "asr", "whisper", model=str(untrained["whisper"]), device="cuda", compute_type="float32"
    )
    layers, vocabulary = whisper._backend._layers, crowd.backend.vocabulary
    loop = DecodingLoop(layers, vocabulary, whisper._backend._checkpoint.generation)
    hidden, limits = crowd.encoded.to("cuda"), list(range(3, 36, 3))
    for stamps in (False, True):
        prompts = [crowd.prompt(stamps=stamps)] * 11
        expected = crowd.loop(None).decode(crowd.encoded, prompts, search, limits, 11)
        for rows in (11, 4, 1, 11):
            found = loop.decode(hidden, prompts, search, limits, rows)
            assert [one.tokens for one in found] == [one.tokens for one in expected]
        loop.free()
