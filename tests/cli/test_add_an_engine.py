"""The page on adding an engine: its package is installed as it stands there, and transcribes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import entrypointkit

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "add-an-engine.md").read_text()
DIGITS = "zero one two three four five six seven eight nine"


def block(language: str) -> str:
    """The page's only block of code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variable that lets Python find the page's package, installed by pip with the setuptools
    that all engines bring."""
    source = tmp_path_factory.mktemp("source")
    (source / "pyproject.toml").write_text(block("toml"))
    (source / "small_vocabulary.py").write_text(block("python"))
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--no-index", "--target", str(site), str(source)],
        env={name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return entrypointkit.path(site)


@pytest.mark.slow
def test_it_transcribes(speechkit: Any, installed: dict[str, str]) -> None:
    install, command = block("sh").splitlines()
    assert install == "pip install ."
    done = speechkit(*shlex.split(command)[1:], env=installed, cwd=ROOT)
    (record,) = map(json.loads, done.out.splitlines())
    assert record["pred_text"] == DIGITS


@pytest.mark.slow
def test_its_option_pins_the_run(speechkit: Any, installed: dict[str, str], tmp_path: Path) -> None:
    audio = ROOT / "examples" / "digits" / "awb-slow.flac"
    command = ["asr", audio, "--engine", "small-vocabulary", "-o", tmp_path / "out.jsonl"]
    command += ["--summary", tmp_path / "summary.json", "--words"]
    speechkit(*command, "--vocabulary", "one,two", env=installed)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["options"]["decoding"] == {"vocabulary": "one,two"}
    (record,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    words = [word for segment in record["segments"] for word in segment["words"]]
    assert {word["word"] for word in words} == {"one", "two"}
    assert record["pred_text"] == " ".join(word["word"] for word in words)
    done = speechkit(*command, "--vocabulary", "one", code=2, env=installed)
    assert "vocabulary one,two, now one" in done.err


@pytest.mark.slow
def test_help_and_refusals_know_it(speechkit: Any, installed: dict[str, str]) -> None:
    text = speechkit("asr", "--help", env=installed).out.decode()
    assert "faster-whisper|nemo|pocketsphinx|whisper|small-vocabulary" in text
    assert "Engine small-vocabulary:\n  --vocabulary WORD,WORD..." in text
    command = ["asr", "a.wav", "--engine", "pocketsphinx", "--vocabulary", "one"]
    refused = speechkit(*command, code=2, env=installed)
    assert "not for the engine pocketsphinx; for small-vocabulary" in refused.err
    refused = speechkit(
        *command[:3], "small-vocabulary", "--device", "cuda:0", code=2, env=installed
    )
    assert "--device: not for the engine small-vocabulary" in refused.err


@pytest.mark.slow
def test_doctor_lists_it_and_the_broken_ones(
    speechkit: Any, installed: dict[str, str], tmp_path: Path
) -> None:
    for heavy in ("torch", "transformers"):  # whose engines are not asked for here
        (tmp_path / f"{heavy}.py").write_text("raise ImportError")
    site = entrypointkit.declare(tmp_path, "their-package", {"theirs": "nowhere:INFO"})
    env = {"PYTHONPATH": os.pathsep.join([str(site), installed["PYTHONPATH"]])}
    found = json.loads(speechkit("doctor", "--json", env=env).out)
    problems = {one["name"]: one["problem"] for one in found["engines"]}
    assert problems["asr small-vocabulary"] is None
    assert "the engine theirs of the package their-package can't be used" in problems["theirs"]


BROKEN = {
    "missing": "import a_package_that_is_not_there",
    "leaving": "raise SystemExit(7)",
    "taken": "from speechkit.engines.asr.whisper import INFO",
    "nothing": "INFO = 'an engine'",
    "loose": "from speechkit.engines.engine_info import EngineInfo\n"
    "print('noise')\n"
    "INFO = EngineInfo(stage='asr', name='theirs', target='x:X', options=dict)",
    "mapped": "from dataclasses import dataclass\n"
    "from speechkit.engines.engine_info import EngineInfo\n"
    "from speechkit.engines.options import EngineOptions, option\n"
    "@dataclass(frozen=True, slots=True, kw_only=True)\n"
    "class Options(EngineOptions):\n"
    "    weights: dict[str, int] = option(None, help='No text is one.')\n"
    "INFO = EngineInfo(stage='asr', name='theirs', target='x:X', options=Options)",
}


REASONS = {
    "missing": "No module named 'a_package_that_is_not_there'",
    "leaving": "7",
    "taken": "speechkit has an asr engine named whisper",
    "nothing": "its entry point names no EngineInfo but 'an engine'",
    "loose": "its options are no EngineOptions but <class 'dict'>",
    "mapped": "its option weights is of the type dict[str, int] and has no parse",
}


def test_broken_packages_cost_only_themselves(
    speechkit: Any, tmp_path: Path, examples: Path
) -> None:
    for module, code in BROKEN.items():
        (tmp_path / f"{module}.py").write_text(code)
    engines = {module: f"{module}:INFO" for module in BROKEN}
    env = entrypointkit.path(entrypointkit.declare(tmp_path, "their-package", engines))
    assert not speechkit("--help", env=env).err
    assert "Example:" in speechkit("asr", "--help", env=env).out.decode()
    audio = examples / "awb" / "train.flac"
    done = speechkit("vad", audio, env=env)
    assert done.out.startswith(b"{")
    for module, reason in REASONS.items():
        sentence = (
            f"the engine {module} of the package their-package can't be used: {reason}; update or "
            "remove their-package"
        )
        assert done.err.count(sentence) == 1
        refused = speechkit("asr", audio, "--engine", module, code=1, env=env)
        assert refused.err.splitlines()[-1] == f"speechkit: {sentence}"


def test_an_option_with_a_name_of_ours_is_left_out(speechkit: Any, tmp_path: Path) -> None:
    (tmp_path / "own_words.py").write_text(
        "from dataclasses import dataclass\n"
        "from speechkit.engines.engine_info import EngineInfo\n"
        "from speechkit.engines.options import EngineOptions, option\n"
        "@dataclass(frozen=True, slots=True, kw_only=True)\n"
        "class Options(EngineOptions):\n"
        "    output: str = option('', help='Clashes.')\n"
        "    beam_size: str = option('', help='Is a number elsewhere.')\n"
        "INFO = EngineInfo(stage='asr', name='own', target='x:X', options=Options)\n"
    )
    site = entrypointkit.declare(tmp_path, "own-words", {"own": "own_words:INFO"})
    done = speechkit("asr", "--help", env=entrypointkit.path(site))
    assert "--output of the engine own is left out" in done.err
    assert "--beam-size: the engine own declares it as another type" in done.err
    assert "--beam-size N" in done.out.decode()


def test_the_engine_has_about_thirty_working_lines() -> None:
    lines = [line for line in block("python").splitlines() if line.strip()]
    start = next(i for i, line in enumerate(lines) if line.startswith("class SmallVocabulary"))
    assert len(lines[start : lines.index("INFO = EngineInfo(")]) <= 32


def test_the_page_names_what_there_is() -> None:
    for module in re.findall(r"`(speechkit\.engines\.\w+)`", PAGE):
        assert (ROOT / "src" / Path(*module.split("."))).with_suffix(".py").exists()
    assert os.access(ROOT / "examples" / "digits" / "awb-slow.flac", os.R_OK)
