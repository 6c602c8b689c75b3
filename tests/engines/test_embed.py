"""The engines of embed: vectors against those of the models' own code, in any company."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from encoderkit import MODELS, Waves, make, theirs

from audiokit import EXAMPLES
from speechkit.engines import registry

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
