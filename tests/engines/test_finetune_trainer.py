"""A Whisper in training: what a step does, what is saved, and what comes back."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from speechkit.engines.asr.whisper import checkpoint
from speechkit.engines.finetune.protocol import LoraOptions, TrainerOptions, TrainingExample
from speechkit.engines.finetune.ranks import Ranks
from speechkit.engines.finetune.whisper import spec_augment
from speechkit.engines.finetune.whisper.trainer import WhisperTrainer, largest_batch
from speechkit.errors import EngineMissing, OutOfMemory, UsageError

SECONDS = 2.0  # that the small model hears
END, START = 200, 201  # the tokens before them are words
LORA = LoraOptions(rank=4, alpha=8.0, targets=("q_proj", "v_proj", "fc1"))


class Twins(Ranks):
    """Two ranks that are given the same examples."""

    def sum(self, *numbers: float) -> tuple[float, ...]:
        return tuple(2 * number for number in numbers)

    def sum_gradients(self, gradients: Sequence[Tensor]) -> None:
        for gradient in gradients:
            gradient.mul_(2)


class Idle(Ranks):
    """A rank beside another, which has all of the examples."""

    def sum(self, *numbers: float) -> tuple[float, ...]:
        return tuple(1.0 + number for number in numbers)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper with random weights, an encoder of two seconds and a vocabulary of its own."""
    folder = tmp_path_factory.mktemp("small") / "model"
    torch.manual_seed(1)
    config = WhisperConfig(
        vocab_size=256,
        init_std=0.2,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=100,
        max_target_positions=32,
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        begin_suppress_tokens=[END],
    )
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    words = [*map(str, range(END)), "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    Tokenizer(WordLevel(vocabulary, unk_token="0")).save(str(folder / "tokenizer.json"))
    WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dropping(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with dropout."""
    folder = tmp_path_factory.mktemp("dropping") / "model"
    shutil.copytree(small, folder)
    _change(folder / "config.json", dropout=0.1, attention_dropout=0.1)
    return folder


def _change(path: Path, **settings: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def trainer(model: Path, ranks: type[Ranks] = Ranks, **options: Any) -> WhisperTrainer:
    given = {"context": SECONDS, "device": "cpu", "batch_size": 8, **options}
    return WhisperTrainer(TrainerOptions(model=model, **given), ranks())


def examples(count: int = 8, seed: int = 0, seconds: float = SECONDS) -> list[TrainingExample]:
    chance = np.random.default_rng(seed)
    return [
        TrainingExample(
            waveform=chance.normal(0, 0.1, chance.integers(4_000, int(16_000 * seconds))).astype(
                np.float32
            ),
            tokens=(*map(int, chance.integers(0, END, chance.integers(2, 12))), END),
            seed=int(chance.integers(1 << 30)),
        )
        for _ in range(count)
    ]


def state(one: WhisperTrainer, folder: Path) -> dict[str, Tensor]:
    folder.mkdir(parents=True, exist_ok=True)
    one.save_state(folder)
    return dict(load_file(folder / "training.safetensors"))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def gradients(one: WhisperTrainer, folder: Path) -> dict[str, Tensor]:
    """Those of a first step, as the optimiser has averaged them."""
    return {k: v for k, v in state(one, folder).items() if k.startswith("exp_avg.")}


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    most = max(float(tensor.abs().max()) for tensor in one.values())
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-4, atol=1e-5 * most, msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {"spec_augment": True, "weight_decay": 0.1},
        {"lora": replace(LORA, dropout=0.1), "gradient_checkpointing": True},
        {"compute_type": "float16"},
    ],
    ids=["full", "lora", "float16"],
)
def test_a_restored_training_ends_with_the_same_bits(
    dropping: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    spoiled = [_loud(examples(1)[0])]  # after which float16 has another scale
    steps = [examples(4, seed=0), spoiled, examples(4, seed=1), examples(4, seed=2)]
    unbroken, results = trainer(dropping, batch_size=2, **options), []
    for number, step in enumerate(steps):
        state(unbroken, tmp_path / str(number))
        results.append(unbroken.step(step, 1e-3, number))
    assert [bool(result.skipped) for result in results] == [False, True, False, False]
    scales = [65536, 65536, 32768, 32768] if "compute_type" in options else [None] * 4
    assert [result.scale for result in results] == scales
    end = state(unbroken, tmp_path / "end")
    resumed = trainer(dropping, batch_size=2, **options)
    for number in (3, 1):
        resumed.restore(tmp_path / str(number))
        again = [resumed.step(steps[n], 1e-3, n) for n in range(number, len(steps))]
        assert list(map(str, again)) == list(map(str, results[number:]))  # NaN is no NaN's equal
        assert equal(state(resumed, tmp_path / "again"), end)


def _loud(example: TrainingExample) -> TrainingExample:
    return replace(example, waveform=np.full_like(example.waveform, np.nan))


def test_a_step_is_the_same_however_it_is_computed(small: Path, tmp_path: Path) -> None:
    """At once, in parts, with checkpointing and accumulation together, by two ranks."""
    given = examples(8)
    whole = trainer(small)
    result = whole.step(given, 1e-3, 0)
    expected = gradients(whole, tmp_path / "whole")
    for batch, checkpointing in ((2, False), (3, True)):
        one = trainer(small, batch_size=batch, gradient_checkpointing=checkpointing)
        other = one.step(given, 1e-3, 0)
        assert (other.loss, other.norm) == pytest.approx((result.loss, result.norm), rel=1e-5)
        assert_close(expected, gradients(one, tmp_path / f"{batch}-{checkpointing}"))
    twice = trainer(small).step([*given[:4], *given[:4]], 1e-3, 0)
    ranks = trainer(small, ranks=Twins).step(given[:4], 1e-3, 0)
    assert (ranks.loss, ranks.norm) == pytest.approx((twice.loss, twice.norm), rel=1e-5)
    assert ranks.tokens == twice.tokens == 2 * sum(len(one.tokens) for one in given[:4])


def kept(one: WhisperTrainer) -> int:
    """Bytes that the forward pass of two examples keeps for the gradients."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        one._loss(one._tensors(examples(2)))
    return sum(storages.values())


def test_checkpointing_keeps_less_and_draws_the_same_dropout_again(
    dropping: Path, tmp_path: Path
) -> None:
    found, memory = [], []
    for checkpointing in (False, True):
        one = trainer(dropping, batch_size=2, gradient_checkpointing=checkpointing)
        memory.append(kept(one))
        one.step(examples(4), 1e-3, 7)
        found.append(gradients(one, tmp_path / str(checkpointing)))
    assert_close(*found)
    assert memory[1] < memory[0] / 2


def test_half_precision_learns_about_the_same(small: Path) -> None:
    full = trainer(small).step(examples(4), 1e-3, 0)
    for precision in ("bfloat16", "float16"):
        half = trainer(small, compute_type=precision).step(examples(4), 1e-3, 0)
        assert not half.skipped
        assert (half.loss, half.norm) == pytest.approx((full.loss, full.norm), rel=0.02)
        assert half.loss != full.loss


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_nan_changes_nothing_but_the_scale(small: Path, tmp_path: Path, precision: str) -> None:
    one = trainer(small, compute_type=precision)
    one.step(examples(2), 1e-3, 0)
    before = state(one, tmp_path / "before")
    result = one.step([*examples(3), _loud(examples(1)[0])], 1e-3, 1)
    assert result.skipped == "the loss is nan"
    assert math.isnan(result.loss)
    assert equal(before, state(one, tmp_path / "after"))
    next_ = one.step(examples(2), 1e-3, 2)
    assert not next_.skipped
    assert next_.scale == (32768 if precision == "float16" else None)
    idle = trainer(small, ranks=Idle, compute_type=precision).step([], 1e-3, 0)
    assert (idle.loss, idle.norm, idle.skipped) == (1.0, 0.0, "")
    nothing = one.step([], 1e-3, 3)
    assert (nothing.tokens, nothing.skipped) == (0, "no examples")


def test_gradients_are_clipped_to_the_norm(small: Path, tmp_path: Path) -> None:
    one = trainer(small, clip=0.5)
    assert one.step(examples(), 1e-3, 0).norm > 0.5
    clipped = gradients(one, tmp_path).values()  # a tenth of the gradients
    assert math.sqrt(sum(float(t.square().sum()) for t in clipped)) == pytest.approx(0.05, 1e-3)


def _limit(one: WhisperTrainer, most: int, passing: int = 0) -> None:
    """Let memory run out for more than ``most`` examples at once, but for the first ``passing``."""
    calls = []

    def hook(_: Any, given: tuple[Tensor]) -> None:
        calls.append(1)
        if len(given[0]) > most and len(calls) > passing:
            raise torch.OutOfMemoryError("out of memory")

    one._model.model.encoder.register_forward_pre_hook(hook)


def test_a_batch_that_does_not_fit_is_halved(small: Path, tmp_path: Path) -> None:
    fits, halved = trainer(small, batch_size=2), trainer(small, batch_size=4)
    _limit(halved, most=2, passing=1)  # the first batch of four has left its gradients
    for one in (fits, halved):
        result = one.step(examples(8), 1e-3, 0)
        assert (one.batch_size, result.batch_size) == (2, 2)
    assert equal(state(fits, tmp_path / "fits"), state(halved, tmp_path / "halved"))
    _limit(halved, most=0)
    with pytest.raises(OutOfMemory, match="a single example doesn't fit"):
        halved.step(examples(3), 1e-3, 0)


def test_the_largest_batch_is_found_by_trial(small: Path, tmp_path: Path) -> None:
    assert [largest_batch(lambda n, most=most: n <= most) for most in (1, 2, 3, 19, 20)] == [
        *(1, 1, 2, 8, 16)
    ]
    assert largest_batch(lambda _: True) == 64
    one = trainer(small, batch_size=0)
    before = state(one, tmp_path / "before")
    (longest,) = examples(1)
    one.fit_batch(longest)
    assert one.batch_size == 16  # on a CPU; of windows of 30 s two
    _limit(one, most=5)
    assert one._fits(longest, 5)
    assert not one._fits(longest, 6)
    assert equal(before, state(one, tmp_path / "after"))
    assert all(weight.grad is None for weight in one._model.parameters())


def test_the_loss_is_that_of_transformers(small: Path, tmp_path: Path) -> None:
    """Before and after training with adapters, whose saved model is the one in training."""
    given = examples(4)
    extractor = WhisperFeatureExtractor.from_pretrained(small)
    heard = extractor([one.waveform for one in given], sampling_rate=16_000, return_tensors="pt")
    longest = max(len(one.tokens) for one in given)
    labels = [[*one.tokens, *[-100] * (longest - len(one.tokens))] for one in given]

    def theirs(model: Path) -> float:
        loaded, loading = WhisperForConditionalGeneration.from_pretrained(
            model, output_loading_info=True
        )
        assert not any(loading.values()), loading
        with torch.no_grad():
            said = loaded(input_features=heard.input_features, labels=torch.tensor(labels))
        return float(said.loss)

    one = trainer(small, lora=LORA)
    losses = [one.step(given, 0.02, number).loss for number in range(4)]
    assert losses[0] == pytest.approx(theirs(small), rel=1e-5)
    assert losses[3] < 0.95 * losses[0]
    before = state(one, tmp_path / "before")
    one.save_model(tmp_path / "saved")
    assert equal(before, state(one, tmp_path / "after"))
    assert one.step(given, 0.0, 9).loss == pytest.approx(theirs(tmp_path / "saved"), rel=1e-4)


def test_adapters_alone_are_trained(small: Path, tmp_path: Path) -> None:
    one = trainer(small, lora=LORA, freeze_encoder=True)
    names = {name for name in state(one, tmp_path) if name.startswith("weight.")}
    assert names == {
        f"weight.model.decoder.layers.{layer}.{part}.lora_{side}.default.weight"
        for layer in range(2)
        for part in ("fc1", *(f"{a}_attn.{p}_proj" for a in ("self", "encoder") for p in "qv"))
        for side in "AB"
    }
    assert one.trainable == 2 * (4 * 4 * 64 + 4 * (32 + 64))
    with pytest.raises(UsageError, match=r"adapters for gate: .* are fc1, fc2, k_proj"):
        trainer(small, lora=replace(LORA, targets=("q_proj", "gate")))


def test_a_short_context_keeps_the_whole_table(small: Path, tmp_path: Path) -> None:
    """And a saved model is the base of another training, with the whole context again."""
    base = load_file(small / "model.safetensors")
    one = trainer(small, context=1.0, freeze_encoder=True)
    assert not one.step(examples(4, seconds=1.0), 1e-3, 0).skipped
    one.save_model(tmp_path / "short")
    config = json.loads((tmp_path / "short" / "config.json").read_text())
    assert (config["encoder_context"], config["max_source_positions"]) == (1.0, 100)
    saved = load_file(tmp_path / "short" / "model.safetensors")
    changed = {name for name in base if not torch.equal(base[name], saved[name])}
    assert saved.keys() == base.keys()
    assert len(changed) > 50
    assert not [name for name in changed if "encoder." in name.replace("encoder_attn", "")]
    asr = checkpoint.load(tmp_path / "short", torch.device("cpu"), torch.float32)
    assert torch.equal(
        asr.weights[checkpoint.ENCODER_POSITIONS], base[checkpoint.ENCODER_POSITIONS]
    )
    again = trainer(tmp_path / "short")
    again.save_model(tmp_path / "whole")
    assert "encoder_context" not in json.loads((tmp_path / "whole" / "config.json").read_text())
    assert equal(saved, dict(load_file(tmp_path / "whole" / "model.safetensors")))
    assert (tmp_path / "whole" / "tokenizer.json").read_bytes() == (
        small / "tokenizer.json"
    ).read_bytes()
    with pytest.raises(UsageError, match=r"--context 3: .* hears 2 s at once"):
        trainer(small, context=3.0)


def test_real_whisper_learns_in_a_short_context(
    english_whispers: dict[str, Path], tmp_path: Path
) -> None:
    model = english_whispers["whisper"]
    one = trainer(model, context=1.0)
    given = examples(2, seconds=1.0)
    first, second = (one.step(given, 1e-5, number).loss for number in range(2))
    assert second < first
    one.save_model(tmp_path / "saved")
    base, saved = (
        load_file(folder / "model.safetensors") for folder in (model, tmp_path / "saved")
    )
    assert {name: weight.shape for name, weight in saved.items()} == {
        name: weight.shape for name, weight in base.items() if name != checkpoint.OUTPUT
    }
    assert not torch.equal(saved[checkpoint.EMBEDDING], base[checkpoint.EMBEDDING])
    for name in ("generation_config.json", "preprocessor_config.json", "tokenizer.json"):
        assert (tmp_path / "saved" / name).read_bytes() == (model / name).read_bytes()


def test_a_damaged_state_is_refused_and_changes_nothing(small: Path, tmp_path: Path) -> None:
    one = trainer(small)
    before = state(one, tmp_path)
    path = tmp_path / "training.safetensors"
    whole = path.read_bytes()
    name = "weight.model.decoder.layer_norm.weight"
    for tensors, problem in (
        ({k: v for k, v in before.items() if k != name}, f"are missing: {name}"),
        ({**before, "weight.other": torch.ones(1)}, "are not of this training: weight.other"),
        ({**before, name: torch.ones(3)}, f"have another shape or precision: {name}"),
        ({**before, name: before[name].half()}, f"have another shape or precision: {name}"),
    ):
        save_file({k: v + 1 for k, v in tensors.items()}, path)
        with pytest.raises(ValueError, match=problem):
            one.restore(tmp_path)
    for content in (whole[:1000], whole[:-1], b"", b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no whole file of safetensors"):
            one.restore(tmp_path)
    path.write_bytes(whole)
    for text in ("", "[]", '{"scale": 1}'):
        (tmp_path / "scaler.json").write_text(text)
        with pytest.raises(ValueError, match=r"scaler\.json: no"):
            one.restore(tmp_path)
    assert equal(before, state(one, tmp_path / "after"))


def test_a_folder_that_names_code_is_refused(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "model")
    _change(tmp_path / "model" / "config.json", auto_map={"AutoModel": "evil.Model"})
    with pytest.raises(EngineMissing, match="no code that comes with a model is ever run"):
        trainer(tmp_path / "model")


def test_masks_are_few_and_repeatable() -> None:
    features = torch.randn(80, 200)
    masked = []
    for seed in (1, 1, 2):
        one = features.clone()
        spec_augment.mask(one, 150, seed)
        masked.append(one)
    assert torch.equal(masked[0], masked[1])
    assert not torch.equal(masked[0], masked[2])
    assert torch.equal(masked[0][:, 150:], features[:, 150:])  # silence stays as it is
    changed = (masked[2] != features)[:, :150]
    assert 0 < int(changed.all(1).sum()) <= 2 * 27
    assert 0 < int(changed.all(0).sum()) <= 2 * 30
    spec_augment.mask(torch.ones(80, 200), 0, 1)  # an utterance without a frame
