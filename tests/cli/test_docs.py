"""The documentation: links, navigation, the command reference, and every shell example."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import forkkit
from speechkit.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS)
}
FIRST = ("README.md", "docs/manifest.md")  # other pages may read what the examples of these make
RESULTS = ("data.jsonl", "vad.jsonl", "asr.jsonl")

Run = Callable[..., None]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    """The page without its code."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """Of the headings for which GitHub and MkDocs agree."""
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    plain = (
        re.sub(r"[^\w\s-]", "", title) for title in re.findall(r"^#+ (.*)", text, re.MULTILINE)
    )
    named = ((title.strip().lower().replace(" ", "-")) for title in plain)
    return {name for name in named if name.isascii() and "--" not in name}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """A page of the site links to nothing outside of it."""
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (folder / name).resolve() if name else ROOT / page
        assert file.exists(), target
        assert folder == ROOT or folder in file.parents, target
        assert not anchor or anchor in anchors(str(file.relative_to(ROOT))), target


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == [path.name for path in DOCS]


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].encode()) < 8000


@pytest.mark.parametrize(
    "script", sorted((ROOT / "scripts").glob("*_reference.py")), ids=lambda path: path.stem
)
def test_generated_pages_are_current(script: Path) -> None:
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_docs_have_an_example_for_every_command() -> None:
    examples = "".join(
        text for page in PAGES for kind in ("sh", "bash") for text in blocks(page, kind)
    )
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) >= 12
    assert [name for name in commands if not re.search(rf"speechkit {name}\s", examples)] == []


def test_examples_on_a_cluster_are_on_the_page_that_a_cluster_runs() -> None:
    """By tests/slurm."""
    assert [page for page in PAGES if blocks(page, "bash")] == ["docs/cluster.md"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs an example in bash, in a folder, with further variables."""
    programs = forkkit.program(tmp_path_factory.mktemp("programs")).parent
    path = os.pathsep.join([str(programs), os.environ["PATH"]])

    def run(example: str, folder: Path, **variables: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", example],
            cwd=folder,
            env={**os.environ, "PATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{example}\n{done.stderr}"
        assert "Traceback" not in done.stderr

    return run


@pytest.fixture(scope="module")
def reader(s2s_models: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader with a talk and checkpoints, who has tried the first pages."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "talks").mkdir()
    for path in (ROOT / "examples" / "speech" / "slt").glob("story.*"):
        shutil.copy(path, folder / "talks")
    shutil.copy(s2s_models / "hubert-six.pt", folder / "hubert_base_ls960.pt")
    shutil.copy(s2s_models / "km.bin", folder)
    shutil.copytree(s2s_models / "vocoder", folder / "vocoder")
    (folder / "vocoder" / "g.pt").rename(folder / "vocoder" / "g_00500000")
    for page in FIRST:
        for example in blocks(page, "sh"):
            run(example, folder)
    return folder


def test_the_first_examples(reader: Path) -> None:
    assert all((reader / name).stat().st_size for name in RESULTS)


#: Its example installs a package; test_add_an_engine.py runs it.
INSTALLS = "docs/add-an-engine.md"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page, "sh") and page not in {*FIRST, INSTALLS}],
)
def test_examples(
    page: str, reader: Path, english_whispers: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    """With a small Whisper; the first examples have the default one."""
    small = str(english_whispers["faster-whisper"])
    models = {f"SPEECHKIT_{name}_MODEL": small for name in ("ASR", "SERVE", "STREAM")}
    folder = shutil.copytree(
        reader, tmp_path / "reader", ignore=shutil.ignore_patterns("*.jsonl", "*.run.json")
    )
    examples = blocks(page, "sh")
    for name in RESULTS:
        before, mentioned, _ = "".join(examples).partition(name)
        if mentioned and not before.endswith("-o "):
            shutil.copy(reader / name, folder)
    for example in examples:
        run(example, folder, **models)


def test_the_stage_of_the_docs(tmp_path: Path) -> None:
    """The files of add-a-stage.md, put into a copy of the sources, are a stage."""
    source = shutil.copytree(ROOT / "src" / "speechkit", tmp_path / "src" / "speechkit")
    (source / "stages" / "level").mkdir()
    (source / "stages" / "level" / "__init__.py").touch()
    row, *files = blocks("docs/add-a-stage.md", "python")
    table = (source / "keys.py").read_text()
    table = table.replace('STAGES = ("manifest", ', 'STAGES = ("manifest", "level", ', 1)
    (source / "keys.py").write_text(table.replace("LINE = (\n", f"LINE = (\n{row.rstrip()},\n", 1))
    *files, entry = files
    assert len(files) == 2
    commands = (source / "cli.py").read_text()
    first = 'Entry("manifest", '
    (source / "cli.py").write_text(commands.replace(first, f"{entry.rstrip()},\n{first}", 1))
    for text in files:
        (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "speechkit", "level", ROOT / "examples" / "speech" / "slt"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    levels = [json.loads(line)["level"] for line in done.stdout.splitlines()]
    assert len(levels) == 2
    assert all(-40 < level < -6 for level in levels)


def test_the_architecture_names_every_part() -> None:
    parts = {path.name for path in (ROOT / "src" / "speechkit").glob("[!_]*")} - {"py.typed"}
    named = set(re.findall(r"^  ([\w.]+)/? ", PAGES["docs/architecture.md"], re.MULTILINE))
    assert parts <= named
