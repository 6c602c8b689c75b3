"""The engines of embed: vectors against those of the models' own code, in any company."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from encoderkit import MODELS, Waves, make, theirs
from safetensors.numpy import save_file

from audiokit import EXAMPLES
from speechkit.engines import registry
from speechkit.engines.embed.options import EncoderOptions
from speechkit.engines.embed.pooled_encoder import PooledEncoder
from speechkit.errors import EngineMissing, UsageError
from speechkit.runtime.summary import device_account

LENGTHS = (0.3, 0.5, 0.77, 1.0, 1.31, 2.0, 2.9, 3.7)  # seconds

Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def waves() -> Waves:
    paths = sorted(EXAMPLES.glob("*/*.flac"))[:9]
    samples = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in paths])
    ends = np.cumsum([int(16_000 * seconds) for seconds in LENGTHS])
    return np.split(samples, ends)[:-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made: dict[str, Path] = {}

    def find(name: str) -> Path:
        if name not in made:
            made[name] = make(name, tmp_path_factory.mktemp(name))
        return made[name]

    return find


def engine(model: Path, **options: Any) -> Any:
    return registry.create("embed", "transformers", model=str(model), **options)


def vectors(made: Any, waves: Waves) -> Any:
    return np.stack([one.vector for one in made.pool(waves)])


def distance(one: Any, other: Any) -> float:
    """The largest of two rows, against their length."""
    return float((np.linalg.norm(one - other, axis=1) / np.linalg.norm(other, axis=1)).max())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layer", [None, 1, 2])
def test_vectors_are_those_of_transformers(
    name: str, layer: int | None, folder: Folder, waves: Waves
) -> None:
    found = vectors(engine(folder(name), layer=layer), waves)
    assert distance(found, theirs(folder(name), waves, layer)) < 1e-4


@pytest.mark.parametrize(("name", "pool"), [("ast", "cls"), ("ast", "max"), ("wavlm", "max")])
def test_other_poolings(name: str, pool: str, folder: Folder, waves: Waves) -> None:
    found = vectors(engine(folder(name), pool=pool), waves)
    assert distance(found, theirs(folder(name), waves, None, pool)) < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_equal_at_any_batch_size(name: str, folder: Folder, waves: Waves) -> None:
    many = [*waves, *waves[::-1]] * 4
    alone = vectors(engine(folder(name), batch_size=1), many)
    for size in (7, 64):
        made = engine(folder(name), batch_size=size)
        assert distance(vectors(made, many), alone) < 1e-4
        assert made.device_use().batch_size > 1
        assert not made.device_use().one_by_one


def test_memory_that_does_not_suffice_is_halved(folder: Folder, waves: Waves) -> None:
    made = engine(folder("hubert"), batch_size=8)
    expected = vectors(made, waves)
    features = made._extractor.encoder.features

    def crowded(stretches: Any) -> Any:
        if len(stretches) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return features(stretches)

    made._extractor.encoder.features = crowded
    assert distance(vectors(made, waves), expected) < 1e-4
    assert made.device_use().batch_size == 2


class Padded:
    """An encoder whose frames depend on the padding of their batch."""

    batched, pads, width, longest, reinitialised = True, False, 2, 10.0, []
    convolutions = ((400, 320),)

    def whole(self, waveform: torch.Tensor) -> Any:
        return waveform, None

    def features(self, stretches: Any) -> list[torch.Tensor]:
        longest = max(len(one.samples) for one in stretches)
        return [torch.full(((len(one.samples) - 400) // 320 + 1, 2), longest) for one in stretches]


@pytest.mark.parametrize("batched", [True, False])
def test_a_model_that_batches_change_gets_one_at_a_time(batched: bool, waves: Waves) -> None:
    encoder: Any = Padded()
    encoder.batched = batched
    made = PooledEncoder("padded", lambda *_: encoder, EncoderOptions(batch_size=8, device="cpu"))
    assert [one.vector[0] for one in made.pool(waves)] == [len(wave) for wave in waves]
    use = made.device_use()
    assert use.batch_size == 1
    assert (device_account([use], 1.0) or {})["one_by_one"] is True


def test_half_precision_may_round(folder: Folder, waves: Waves) -> None:
    made = engine(folder("hubert"), compute_type="bfloat16", batch_size=8)
    assert not made.device_use().one_by_one
    assert distance(vectors(made, waves), vectors(engine(folder("hubert")), waves)) < 0.05


@pytest.mark.parametrize("name", ["whisper", "ast", "wavlm"])
def test_windows_are_as_long_as_the_model_hears(name: str, folder: Folder, waves: Waves) -> None:
    made = engine(folder(name))
    noise = np.random.default_rng(1).normal(0, 0.1, made.longest).astype(np.float32)
    longest, shortest = made.pool([noise, noise[: made.shortest]])
    assert shortest.frames == 1
    assert longest.frames == made._extractor.frames.count(made.longest)
    assert np.isfinite([longest.vector, shortest.vector]).all()


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("whisper", {"layer": 4}, "--layer 4: .* has the layers 1 to 3"),
        ("ast", {"layer": 0}, "--layer 0: .* has the layers 1 to 3"),
        ("wav2vec2", {"pool": "cls"}, "--pool cls: a wav2vec2 has no class token"),
        ("hubert", {"compute_type": "int8"}, "--compute-type int8"),
        ("hubert", {"pool": "none"}, "--pool none: there are mean, max, cls"),
    ],
)
def test_options_that_no_model_has(name: str, options: Any, error: str, folder: Folder) -> None:
    with pytest.raises(UsageError, match=error):
        engine(folder(name), **options)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(EngineMissing, match="of the kind 'bert'; there are hubert, wavlm, wav2vec"):
        engine(tmp_path)


@pytest.mark.parametrize("name", ["ast", "whisper", "wav2vec2"])
def test_a_folder_that_names_code_is_refused(name: str, tmp_path: Path) -> None:
    config = make(name, tmp_path) / "config.json"
    code = {"auto_map": {"AutoModel": "own.Own"}}
    config.write_text(json.dumps({**json.loads(config.read_text()), **code}))
    with pytest.raises(EngineMissing, match=r"config.json: refused, it says auto_map"):
        engine(tmp_path)


def test_a_preprocessor_of_another_rate_is_refused(folder: Folder, tmp_path: Path) -> None:
    made = make("whisper", tmp_path)
    (made / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(EngineMissing, match="sampling_rate is 8000, and not 16000"):
        engine(made)


def head(*widths: int) -> torch.nn.Sequential:
    torch.manual_seed(2)
    layers = [
        layer
        for one, other in pairwise(widths)
        for layer in (torch.nn.Linear(one, other), torch.nn.GELU())
    ]
    return torch.nn.Sequential(*layers[:-1])


def saved(path: Path, tensors: Any, **metadata: str) -> Path:
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(arrays, path, metadata)
    return path


def test_heads_are_applied_to_the_pooled_vector(
    folder: Folder, waves: Waves, tmp_path: Path
) -> None:
    stack, single = head(32, 16, 8), torch.nn.Linear(32, 5, bias=False)
    one = saved(tmp_path / "a.safetensors", stack.state_dict(), activation="gelu")
    other = saved(tmp_path / "b.safetensors", single.state_dict())
    made = engine(folder("wavlm"), adapter=(("text", str(one)), ("who", str(other))))
    pooled = vectors(made, waves)
    found = made.finish(pooled)
    assert (
        made.widths
        == {"embeddings": 32, "text": 8, "who": 5}
        == {name: rows.shape[1] for name, rows in found.items()}
    )
    with torch.inference_mode():
        for name, module in (("text", stack), ("who", single)):
            expected = module(torch.from_numpy(pooled)).numpy()
            np.testing.assert_allclose(found[name], expected, atol=1e-5)
    np.testing.assert_array_equal(found["embeddings"], pooled)


W, B = np.ones((4, 32), np.float32), np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("tensors", "error"),
    [
        ({"weight": np.ones((4, 31), np.float32)}, "takes vectors of 31, but the encoder makes 32"),
        ({"0.weight": W, "2.weight": W}, "2.weight takes vectors of 32, but the layer before"),
        ({"weight": W, "bias": np.zeros(3, np.float32)}, r"are \(\(4, 32\), \(3,\)\), not"),
        ({"weight": np.full((4, 32), np.nan, np.float32)}, "values that are not finite"),
        ({"weight": W, "scale": B}, "it holds scale, weight; a head has weight and bias"),
        ({"0.weight": W, "1.bias": B}, "it holds 0.weight, 1.bias; a head has"),
        ({"0.weight": W, "2.weight": np.ones((2, 4), np.float32)}, "names the activation ''"),
    ],
)
def test_heads_that_do_not_fit(tensors: Any, error: str, folder: Folder, tmp_path: Path) -> None:
    path = saved(tmp_path / "head.safetensors", tensors)
    with pytest.raises(EngineMissing, match=f"--adapter text=.*{error}"):
        engine(folder("wavlm"), adapter=(("text", str(path)),))


def test_files_that_are_no_heads(folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(EngineMissing, match="no such file"):
        engine(folder("wavlm"), adapter=(("text", str(path)),))
    path.write_bytes(b"\x80\x04cposix\nsystem\n")
    with pytest.raises(EngineMissing, match="not a safetensors file"):
        engine(folder("wavlm"), adapter=(("text", str(path)),))


def test_fairseqs_own_code_gives_the_same(s2s_models: Path, waves: Waves) -> None:
    """Of a checkpoint that both read."""
    model = str(s2s_models / "hubert-dict.pt")
    for options in ({}, {"layer": 2, "pool": "max"}):
        one, other = (
            registry.create("embed", name, model=model, device="cpu", **options)
            for name in ("fairseq", "transformers")
        )
        assert distance(vectors(one, waves), vectors(other, waves)) < 1e-4
    assert registry.create("embed", "fairseq", model=model).device_use().one_by_one


@pytest.mark.slow
def test_real_whisper_base(whispers: dict[str, Path], waves: Waves) -> None:
    folder, some = whispers["whisper"], waves[::2]
    alone = vectors(engine(folder, layer=1, batch_size=1), some)
    assert distance(alone[:1], theirs(folder, some[:1], 1)) < 1e-4
    made = engine(folder, layer=1, batch_size=3)
    assert distance(vectors(made, some), alone) < 1e-4
    assert made.device_use().batch_size > 1
