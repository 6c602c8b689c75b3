"""Every shell example of the README runs as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
ON_A_CLUSTER = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)  # tests/slurm


@pytest.fixture(scope="module")
def folder(s2s_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of the README stands: a few talks, and what checkpoints some examples name.
    Examples build on it."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples" / "speech" / "slt", folder / "talks")
    shutil.copy(s2s_models / "hubert-six.pt", folder / "hubert_base_ls960.pt")
    shutil.copy(s2s_models / "km.bin", folder)
    shutil.copytree(s2s_models / "vocoder", folder / "vocoder")
    (folder / "vocoder" / "g.pt").rename(folder / "vocoder" / "g_00500000")
    return folder


def test_the_readme_has_an_example_for_every_command() -> None:
    text = "\n".join([*EXAMPLES, *ON_A_CLUSTER])
    commands = [path.stem.replace("_", "-") for path in (ROOT / "src/speechkit/commands").iterdir()]
    help_text = subprocess.run(
        [sys.executable, "-m", "speechkit", "--help"], capture_output=True, text=True, check=True
    ).stdout
    shown = [name for name in commands if re.search(rf"^  {name} ", help_text, re.MULTILINE)]
    assert len(shown) >= 7
    assert [name for name in shown if f"speechkit {name} " not in text + " "] == ["doctor"]
    assert "speechkit doctor\n" in text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.strip().splitlines()[0][:50])
def test_readme_example(example: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
