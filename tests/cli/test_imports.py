"""Imports run one way, and the quick commands load nothing heavy."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "speechkit"
HEAVY = {
    *("torch", "transformers", "nemo", "numpy", "onnx", "onnxruntime", "ten_vad", "pocketsphinx"),
    *("jiwer", "whisper_normalizer", "omegaconf", "av", "soundfile", "soxr", "faster_whisper"),
    *("starlette", "uvicorn", "python_multipart", "websockets"),
}
#: From the command line down; a package may import its own and what stands below it.
LAYERS = [
    {"cli", "__main__", "__init__"},
    {"commands"},
    {"reports"},
    {"training", "serving"},
    {"cluster"},
    {"splitting", "scoring", "doctor", "embeddings"},
    {"stages"},
    {"runtime"},
    {"engines"},
    {"compat"},
    {"formats"},
    {"io"},
    {"keys", "records", "errors", "telemetry_off", "version"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
#: Inside a package, in the same order; what is not named stands below.
INNER_LAYERS = {
    "engines": [
        {"vad", "asr", "s2s", "embed", "finetune"},
        {"encoders"},
        {"torch"},
        {"model_catalogue"},
        {"registry"},
    ],
    "stages": [{"asr", "s2s", "embed", "manifest", "validate"}, {"vad"}],
    "serving": [{"web"}, {"stream"}],
    "runtime": [
        {"job"},
        {"runner"},
        {"pool"},
        {"crew", "pool_interface"},
        {"watch"},
        {"worker_main", "worker_process"},
    ],
    "formats": [{"__init__"}],
    "io": [{"unit_files"}, {"inputs"}, {"audio"}, {"decoding"}, {"decoders"}],
}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> str | None:
    """Which of our packages a dotted name stands in; None for others' and for bare speechkit."""
    top, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    return name if top == "speechkit" and name in LEVEL else None


def test_every_file_has_its_layer() -> None:
    found = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")}
    assert found == set(LEVEL)


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_imports_never_go_back_up(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for module in imports(ast.parse(path.read_text())):
        other = layer(module)
        if other is not None:
            assert LEVEL[other] >= LEVEL[own], f"{own} imports {module}"


def own_imports(path: Path) -> Iterator[str]:
    """The files of ours that a file imports, wherever in it."""
    for module in imports(ast.parse(path.read_text())):
        place = SOURCE.parent / module.replace(".", "/")
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file() and file not in (path, SOURCE / "__init__.py"):
                yield str(file)


def test_no_import_is_in_a_circle() -> None:
    graph = {
        str(path): {name for name in own_imports(path) if Path(name).name != "__init__.py"}
        for path in SOURCE.rglob("*.py")
    }
    assert sum(map(len, graph.values())) > 300
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", INNER_LAYERS)
def test_imports_inside_a_package_never_go_back_up(package: str) -> None:
    layers = INNER_LAYERS[package]
    level = {name: number for number, names in enumerate(layers) for name in names}
    folder = SOURCE / package
    assert level.keys() <= {path.stem for path in folder.iterdir()}
    for path in folder.rglob("*.py"):
        own = path.relative_to(folder).parts[0].removesuffix(".py")
        for name in own_imports(path):
            if Path(name).is_relative_to(folder) and Path(name) != folder / "__init__.py":
                other = Path(name).relative_to(folder).parts[0].removesuffix(".py")
                lower, upper = level.get(other, len(layers)), level.get(own, len(layers))
                assert lower >= upper, f"{path} imports {name}"


SCRIPT = """
import json, sys
from speechkit.cli import main
try:
    main()
except SystemExit as end:
    code = end.code or 0
json.dump([code, sorted({name.partition(".")[0] for name in sys.modules})], sys.stderr)
"""


def loaded_by(*arguments: object, cwd: Path) -> tuple[int, set[str]]:
    """The exit code and the top packages in memory after a command."""
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, cwd=cwd, check=True)
    code, modules = json.loads(done.stderr.decode().splitlines()[-1])
    return code, set(modules)


def test_quick_commands_load_nothing_heavy(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    lines = [f'{{"audio_filepath": "/a{i}.wav", "duration": {i + 1}}}\n' for i in range(6)]
    data.write_text("".join(lines))
    commands = [
        ("--help",),
        *((command, "--help") for command in ("manifest", "vad", "asr", "score", "doctor")),
        *((command, "--help") for command in ("finetune", "stream", "serve")),
        ("models", "get", "--help"),
        ("split-manifest", "--input", data, "--splits", 2),
        ("merge-results", "--input-pattern", "output/data_split_*.jsonl", "--output", "all.jsonl"),
    ]
    for command in commands:
        if command[0] == "merge-results":
            shutil.copytree(tmp_path / "splits", tmp_path / "output")
        code, modules = loaded_by(*command, cwd=tmp_path)
        assert code == 0, command
        assert not modules & HEAVY, command
    assert (tmp_path / "all.jsonl").read_text() == "".join(lines)


def test_the_check_sees_heavy_packages(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"audio_filepath": "/a.wav", "text": "one", "pred_text": "one"}\n')
    code, modules = loaded_by("score", data, cwd=tmp_path)
    assert code == 0
    assert modules & HEAVY
