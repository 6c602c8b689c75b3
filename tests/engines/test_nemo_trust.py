"""Files of NeMo's format that would run code, open other files or fill the machine: each is refused
in a sentence, before NeMo reads it. Real ones, of a tiny model whose configuration is changed."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from speechkit.engines.asr.nemo import checkpoint
from speechkit.errors import EngineMissing

CPU = torch.device("cpu")
SECONDS = 20.0  # that a refusal may take, on a busy machine
AUTO = "nemo.collections.common.tokenizers.huggingface.auto_tokenizer.AutoTokenizer"

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def unpacked(nemos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(nemos["ctc"]) as archive:
        for member in archive.getmembers():
            if member.isfile():
                source = archive.extractfile(member)
                assert source
                (folder / Path(member.name).name).write_bytes(source.read())
    return folder


@pytest.fixture
def folder(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked, tmp_path / "model"))


def change(folder: Path, how: Change) -> Path:
    path = folder / "model_config.yaml"
    config = yaml.safe_load(path.read_text())
    how(config)
    path.write_text(yaml.safe_dump(config))
    return folder


def packed(folder: Path, mode: Any = "w") -> Path:
    path = folder.with_name("model.nemo")
    with tarfile.open(path, mode) as archive:
        archive.add(folder, arcname=".")
    return path


def refusal(model: Path) -> str:
    """The sentence, given soon."""
    began = time.monotonic()
    with pytest.raises(EngineMissing) as caught:
        checkpoint.restore(model, CPU)
    assert time.monotonic() - began < SECONDS
    said = str(caught.value)
    assert said.startswith(f"--model {model}: ")
    assert "\n" not in said
    assert "weights_only" not in said
    return said


def remote_tokenizer(folder: Path, trust: Any) -> Path:
    """A tokenizer of transformers whose code comes with the model, and which writes ``ran``."""
    mark = folder.parent / "ran"
    (folder / "tok.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "from transformers import BertTokenizer\nclass Tok(BertTokenizer): pass\n"
    )
    names = {"tokenizer_class": "Tok", "auto_map": {"AutoTokenizer": ["tok.Tok", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    own = {"_target_": AUTO, "pretrained_model_name": str(folder), "trust_remote_code": trust}
    return change(folder, lambda config: config["preprocessor"].update(extra=own))


@pytest.mark.parametrize("trust", [True, "yes", 1, "${sample_rate}", "${oc.env:HOME}"])
@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_code_beside_the_weights_is_not_imported(kind: str, trust: Any, folder: Path) -> None:
    remote_tokenizer(folder, trust)
    said = refusal(packed(folder) if kind == "archive" else folder)
    assert "trust_remote_code" in said
    assert not (folder.parent / "ran").exists()


def setting(place: str, value: Any) -> Change:
    def how(config: dict[str, Any]) -> None:
        *above, last = place.split(".")
        for name in above:
            config = config.setdefault(name, {})
        config[last] = value

    return how


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        # Classes and functions that are no part of a model, in whichever guise.
        ("decoder._target_", AUTO, "decoder._target_ is"),
        ("decoder.x", [{"y": {"_target_": "os.system"}}], "decoder.x.0.y._target_ is 'os.system'"),
        ("decoder._target_", "${nemo_version}", "decoder._target_ is '3.0.0'"),
        ("decoder._target_", "nemo.collections.asr.modules.os.system", "is no part of a model"),
        ("decoder.x", {"cls": "subprocess.run", "params": {}}, "decoder.x.cls is"),
        ("decoder.x", {"target": "nemo.core.x", "params": {}}, "decoder.x.target is"),
        ("decoder._target_", ["os.system"], "decoder._target_ is"),
        ("spec_augment._target_", "nemo.utils.notebook_utils.download_an4", "is no part"),
        ("adapters.a", {"_target_": "torch.utils.data.DataLoader"}, "adapters.a._target_ is"),
        ("target", "nemo.collections.asr.models.confidence_ensemble.Ensemble", "target is"),
        ("target", "antigravity.EncDecCTCModel", "target is"),
        ("target", None, "target is"),
        ("tokenizer.custom_tokenizer", {"_target_": AUTO}, "custom_tokenizer._target_ is"),
        ("tokenizer.type", "wpe", "which NeMo makes of a model of the hub"),
        # References that come alive when NeMo resolves the configuration once more.
        ("encoder.d_model", r"\${oc.env:HOME}", "asks"),
        ("encoder.d_model", "${oc.decode:96}", "asks"),
        ("encoder.d_model", "${nothing.here}", "names nothing in it"),
        # Files of elsewhere.
        ("decoding.beam.ngram_lm_model", "/etc/hostname", "names a file beside the model"),
        ("decoding.greedy.boosting_tree.key_phrases_file", "../a", "names a file beside the model"),
    ],
)
def test_a_configuration_that_asks_for_more_is_refused(
    place: str, value: Any, words: str, folder: Path
) -> None:
    assert words in refusal(change(folder, setting(place, value)))


def test_canarys_second_configuration_is_checked_too(folder: Path) -> None:
    path = folder / "timestamps_asr_model_config.yaml"
    path.write_text("target: x.Y\n")
    assert "timestamps_asr_model_config.yaml: refused, target is 'x.Y'" in refusal(folder)


def test_profiles_of_training_make_no_folder(folder: Path, tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    profile = {"enabled": True, "trace_dir": str(traces), "start_step": 0, "end_step": 1}
    checkpoint.restore(change(folder, setting("chakra_profile", profile)), CPU)
    assert not list(traces.iterdir())


@pytest.mark.parametrize("name", ["nemo:../{}", "{}", "nemo:{}"])
def test_files_of_other_folders_are_not_read(name: str, folder: Path) -> None:
    """A tokenizer that lies outside, and is whole: NeMo would take it."""
    (own,) = folder.glob("*_tokenizer.model")
    other = folder.parent / "other.model"
    own.rename(other)
    path = name.format(other.name if ".." in name else other)
    said = refusal(change(folder, setting("tokenizer.model_path", path)))
    assert "no other.model in it" in said


def test_leftover_paths_of_where_it_was_trained_do_no_harm(folder: Path) -> None:
    """By name its own files are found, as in the files of NeMo before 1.0."""
    (own,) = folder.glob("*_tokenizer.model")
    checkpoint.restore(
        change(folder, setting("tokenizer.model_path", f"/gone/training/{own.name}")), CPU
    )


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_weights_that_would_run_code(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mark = folder.parent / "ran"
    torch.save({"a": Hostile(mark)}, folder / "model_weights.ckpt")
    said = refusal(packed(folder))
    assert said.endswith(
        "model_weights.ckpt: refused, since it asks for posix.mkdir: a checkpoint has no need of "
        "that, and loading it could run code"
    )
    assert not mark.exists()
    assert "weights_only" not in capfd.readouterr().err


# ---------------------------------------------------------------- what grows

LAUGHS = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
REFERENCES = [f"a{n}: '{f'${{a{n - 1}}}' * 10}'" for n in range(1, 9)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a0: &a0 [x]", *LAUGHS], "its aliases make more than 300000 values"),
        (["a0: &a0 [*a0]"], "its aliases make more than"),
        (["a0: ha", *REFERENCES], "its references make more than 300000 values"),
        (["a: ${b}", "b: ${a}"], "go in circles"),
        (["a: " + "[" * 100_000], "nest"),
        (["a: " + "[" * 70 + "]" * 70], "nested more than 60 deep"),
        (["a: [b"], "no configuration of a model"),
    ],
)
def test_a_few_lines_that_grow(lines: list[str], words: str, folder: Path) -> None:
    with open(folder / "model_config.yaml", "a") as file:
        file.write("\n".join(["", *lines, ""]))
    assert words in refusal(folder)


def test_what_is_no_configuration(folder: Path) -> None:
    path = folder / "model_config.yaml"
    path.write_text("- a\n")
    assert "no configuration of a model" in refusal(folder)
    os.truncate(path, 17 << 20)
    assert "longer than 16 MiB" in refusal(folder)


def tar(path: Path, mode: Any, *members: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, mode) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname, made.mode = kind, size, "/etc/passwd", 0o6777
    return made


def test_an_archive_that_grows(tmp_path: Path) -> None:
    """Half a mebibyte of it would be 128 on the disk."""
    bomb = tmp_path / "bomb.nemo"
    with gzip.open(bomb, "wb", compresslevel=1) as out:
        out.write(member("model_weights.ckpt", size=1 << 27).tobuf() + bytes(1 << 27))
    assert "more than 20 times its size" in refusal(bomb)
    many = tar(tmp_path / "many.nemo", "w", *(member(f"{n}") for n in range(10_001)))
    assert "more than 20 times its size" in refusal(many)


def test_a_compressed_archive_is_read(folder: Path) -> None:
    """As NeMo wrote them before 1.7."""
    checkpoint.restore(packed(folder, "w:gz"), CPU)


def test_compressed_weights_are_refused(folder: Path) -> None:
    weights = folder / "model_weights.ckpt"
    with zipfile.ZipFile(weights) as source:
        contents = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(weights, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in contents.items():
            target.writestr(name, content)
    assert "is no checkpoint of weights and configuration alone" in refusal(folder)
