"""Checkpoints are read without running anything of theirs, or refused in a sentence."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from speechkit.compat import fairseq_checkpoint
from speechkit.errors import EngineMissing

HERE = Path("x.pt")


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("[(512,10,5)] + [(512,3,2)] * 2", [(512, 10, 5), (512, 3, 2), (512, 3, 2)]),
        ("[(512, 10, 5)]", [(512, 10, 5)]),
        ("[[4, 3, 2]]", [(4, 3, 2)]),
    ],
)
def test_convolutions_are_parsed(text: str, layers: fairseq_checkpoint.ConvLayers) -> None:
    assert fairseq_checkpoint.conv_layers(text, HERE) == layers


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "[(512,10,5)] * (10 ** 9)",
        "[(512,10,5)] * 64 * 64 * 64 * 64",
        "[(512,10,5) for _ in range(3)]",
        "[(512, -10, 5)]",
        "[(512, 10)]",
        "[(True, 10, 5)]",
        "[]",
        "3",
        "",
        None,
        "(" * 1000,
    ],
)
def test_what_is_no_list_of_convolutions_is_refused(text: Any) -> None:
    with pytest.raises(EngineMissing, match="conv_feature_layers"):
        fairseq_checkpoint.conv_layers(text, HERE)


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_by_name(zipped: bool, tmp_path: Path) -> None:
    path, mark = tmp_path / "hostile.pt", tmp_path / "mark"
    state = {"model": {}, "cfg": Hostile(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        EngineMissing, match=r"hostile\.pt: refused, since it asks for posix\.mkdir"
    ):
        fairseq_checkpoint.read(path)
    assert not mark.exists()


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.pt"
    path.write_bytes(pickle.dumps({"model": Hostile(tmp_path / "mark")}))
    with pytest.raises(EngineMissing, match=r"plain\.pt: "):
        fairseq_checkpoint.read(path)
    assert not (tmp_path / "mark").exists()


def test_what_is_called_fairseqs_is_inert(s2s_models: Path) -> None:
    state = fairseq_checkpoint.load_inert(s2s_models / "hubert-dict.pt")
    (dictionary,) = state["task_state"]["dictionaries"]
    assert isinstance(dictionary, fairseq_checkpoint.Stub)
    assert not vars(dictionary)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(100)])
def test_a_broken_file_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(EngineMissing, match=r"broken\.pt: ") as caught:
        fairseq_checkpoint.read(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_one_sentence(s2s_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "truncated.pt"
    path.write_bytes((s2s_models / "hubert-dict.pt").read_bytes()[:300_000])
    with pytest.raises(EngineMissing, match=r"truncated\.pt: can't be read"):
        fairseq_checkpoint.read(path)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"cfg": {}}, "no weights under 'model'"),
        ([1], "no weights under 'model'"),
        ({"model": {"a": torch.ones(1)}}, "neither cfg nor args"),
        ({"model": {"a": 3}, "cfg": {}}, "no weights under 'model'"),
        (
            {
                "model": {"a": torch.ones(1)},
                "cfg": {"model": {"w2v_args": None}, "task": {"a": 1}},
            },
            "was fine-tuned and doesn't say from what",
        ),
        (
            {
                "model": {"a": torch.ones(1)},
                "cfg": {"model": {"_name": "wav2vec2"}, "task": {"a": 1}},
            },
            "of the kind 'wav2vec2'",
        ),
    ],
)
def test_other_checkpoints_are_told_apart(state: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(state, path)
    with pytest.raises(EngineMissing, match=reason):
        fairseq_checkpoint.read(path)


def repeated() -> Any:
    """A thousand million million values that take a few bytes for each doubling."""
    made: list[Any] = [1]
    for _ in range(50):
        made = [made, made]
    return {"model": {"conv_feature_layers": made}, "task": {"a": 1}}


def repeated_in_namespaces() -> Any:
    return {"model": Namespace(a=[Namespace(b=repeated())]), "task": {"a": 1}}


def recursive() -> Any:
    config = OmegaConf.create({"a": {"b": 1}})
    config.__dict__["_content"]["a"].__dict__["_content"]["again"] = config
    return {"model": config, "task": {"a": 1}}


@pytest.mark.parametrize("made", [repeated, repeated_in_namespaces, recursive])
def test_a_configuration_that_grows_is_refused(made: Callable[[], Any], tmp_path: Path) -> None:
    """At once, where its text alone would take for ever."""
    path = tmp_path / "bomb.pt"
    torch.save({"model": {"a": torch.ones(1)}, "cfg": made()}, path)
    began = time.monotonic()
    with pytest.raises(EngineMissing, match=r"bomb\.pt: refused, its configuration has more than"):
        fairseq_checkpoint.read(path)
    assert time.monotonic() - began < 10


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    """torch would read it: a mebibyte, and the memory it asks for is a gibibyte."""
    plain, packed = tmp_path / "plain.pt", tmp_path / "packed.pt"
    torch.save({"model": {"a": torch.zeros(1 << 20)}}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", 8) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert packed.stat().st_size < plain.stat().st_size / 100
    with pytest.raises(EngineMissing, match=r"packed\.pt: refused, it is no checkpoint of weights"):
        fairseq_checkpoint.read(packed)


@pytest.mark.parametrize("kind", ["program", "pickle", "class"])
def test_torchs_advice_is_not_passed_on(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    if kind == "program":
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"model": {1, 2}}))
    else:
        torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(EngineMissing, match=r"other\.pt: ") as caught:
        fairseq_checkpoint.read(path)
    said = str(caught.value)
    assert "weights_only" not in said
    assert "safe_globals" not in said
    assert "trust" not in said
