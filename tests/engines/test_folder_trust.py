"""Folders of transformers that name code, or other models: refused in a sentence, nothing run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from speechkit.engines import registry
from speechkit.errors import EngineMissing, SpeechkitError

KINDS = ["whisper", "hubert"]


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a real one, with modules beside the weights that write ``ran``."""
    if request.param == "whisper":
        source = request.getfixturevalue("untrained")["whisper"]
    else:
        source = request.getfixturevalue("s2s_models") / "hubert-folder"
    folder = Path(shutil.copytree(source, tmp_path / request.param))
    for name in ("own.py", "generate.py", "custom_generate/generate.py"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
            "class Own: pass\nclass OwnConfig: pass\n"
        )
    return folder


def load(folder: Path) -> Any:
    if folder.name == "whisper":
        return registry.create("asr", "whisper", model=str(folder), device="cpu")
    return registry.create("s2s", "transformers", model=str(folder), layer=1, device="cpu")


def told(folder: Path, name: str, **more: Any) -> None:
    path = folder / name
    said = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**said, **more}))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("config.json", {"auto_map": {"AutoModel": "own.Own", "AutoConfig": "own.OwnConfig"}}),
        ("config.json", {"x": [{"trust_remote_code": "yes"}]}),
        ("config.json", {"_attn_implementation": "somebody/kernel"}),
        ("config.json", {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}),
        ("preprocessor_config.json", {"auto_map": {"AutoFeatureExtractor": "own.Own"}}),
        ("tokenizer_config.json", {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": "o.O"}}),
        ("generation_config.json", {"custom_generate": "generate.py"}),
        ("adapter_config.json", {"base_model_name_or_path": "/somewhere/else"}),
    ],
)
def test_code_beside_the_weights_is_refused(name: str, more: Any, folder: Path) -> None:
    told(folder, name, **more)
    with pytest.raises(EngineMissing, match=rf"{name}: refused, it says .*no code that comes"):
        load(folder)
    assert not (folder.parent / "ran").exists()


def test_code_that_nothing_names_is_not_run(folder: Path) -> None:
    """Whisper's own class of tokenizer is taken, whichever the folder names."""
    told(folder, "tokenizer_config.json", tokenizer_class="Own")
    load(folder)
    assert not (folder.parent / "ran").exists()


def test_weights_that_would_run_code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"a": Hostile(folder.parent / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(EngineMissing, match="refused, ") as caught:
        load(folder)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder.parent / "ran").exists()


@pytest.mark.parametrize(
    "harm", ["cut short", "long header", "deep config", "long config", "no config"]
)
def test_a_broken_folder_is_one_sentence(harm: str, folder: Path) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if harm == "cut short":
        os.truncate(weights, weights.stat().st_size - 100)
    elif harm == "long header":  # of 2^60 bytes
        weights.write_bytes((1 << 60).to_bytes(8, "little") + weights.read_bytes()[8:])
    elif harm == "deep config":
        config.write_text("[" * 100_000)
    elif harm == "long config":
        os.truncate(config, 17 << 20)
    else:
        config.write_text("[1]")
    with pytest.raises(SpeechkitError) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("preprocessor_config", "[" * 100_000, "not a configuration in JSON"),
        ("preprocessor_config", "[1]", "not a configuration in JSON"),
        (
            *("preprocessor_config", '{"chunk_length": 1000000000}'),
            "chunk_length is 1000000000, and 3000 at most is known",
        ),
        ("preprocessor_config", '{"chunk_length": -1}', "chunk_length is -1"),
        ("config", '{"encoder_context": 2.5}', "encoder_context is 2.5, and not a number"),
        ("config", '{"encoder_context": "2"}', "encoder_context is '2', and not a number"),
    ],
)
def test_a_configuration_of_faster_whisper(
    name: str, text: str, words: str, untrained: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(untrained["faster-whisper"], tmp_path / "model"))
    (folder / f"{name}.json").write_text(text)
    with pytest.raises(EngineMissing, match=rf"{name}\.json: {words}"):
        registry.create("asr", "faster-whisper", model=str(folder), device="cpu")
