"""What all tests share: the command line as a function, the example speech, and strictness.

With SPEECHKIT_REQUIRE_ALL=1 a skipped test is a failure, except for those marked ``gpu`` or
``textless``, which need what can't be installed everywhere. Whatever takes a trained model by its
fixture is marked ``slow``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import digitkit
import forkkit
from datakit import DATA
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest_checks import fault

settings.register_profile("steady", deadline=None, max_examples=50)  # a busy machine is no failure
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parents[1]

REAL, TINY = ROOT / ".cache" / "models", ROOT / ".cache" / "tiny-models"  # `make models` makes them
STAGES = ("manifest", "vad", "asr", "s2s", "validate")
OF_TESTS = ("SPEECHKIT_REQUIRE_ALL", "SPEECHKIT_KILLS")  # variables that tests themselves read
UNREAD = ("SPEECHKIT_", "TMPDIR", "XDG_", "HF_")  # variables that nothing light reads on import
REQUIRE_ALL = os.environ.get("SPEECHKIT_REQUIRE_ALL") == "1"

for name in list(os.environ):  # a variable set outside must not change what the tests see
    if name.startswith(("SPEECHKIT_", "SLURM_")) and name not in OF_TESTS:
        del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # the tests' processes have a CPU each
    os.environ["OMP_NUM_THREADS"] = os.environ["SLURM_CPUS_PER_TASK"] = "1"

# The processes of xdist have that of the one that has started them.
RELEASE = None if forkkit.FOLDER in os.environ else forkkit.hold()
BEGAN_WITH = {*os.environ}
TRAINED = {"whispers", "nemos", "s2s_models"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="of the fault tests' chance, to repeat a failure")
    parser.addoption("--screenshots", metavar="DIR", help="keep pictures of the server's page")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.seed is None:
        config.option.seed = random.randrange(10**6)  # xdist hands it to its processes
    if RELEASE:
        config.add_cleanup(RELEASE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    from distribution import rewrite_assertions

    if not sys.dont_write_bytecode:
        rewrite_assertions(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from distribution import ByImports

    return ByImports(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def variables_are_known() -> Generator[None]:
    """Those that the imports of tests have set; where others differ, a worker is no fork."""
    yield
    added = forkkit.read_by_imports(os.environ).keys() - BEGAN_WITH - {*forkkit.THREADS}
    assert not added, "imports set these variables: add them to forkkit.FREE"


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """For tests that do something else each time."""
    number: int = pytestconfig.option.seed
    return number


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TRAINED & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def _forbid_skip(report: Any) -> None:
    if REQUIRE_ALL and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where SPEECHKIT_REQUIRE_ALL=1 forbids it: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    if not {"gpu", "textless"} & set(item.keywords):
        _forbid_skip(report)
    if report.failed and "seed" in getattr(item, "fixturenames", ()):
        report.sections.append(("seed", f"repeat it with --seed {item.config.option.seed}"))


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    outcome = yield
    _forbid_skip(outcome.get_result())


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended; ``out`` and ``err`` as they came."""

    code: int
    out: bytes
    err: str


Speechkit = Callable[..., Finished]


@pytest.fixture(scope="session")
def speechkit() -> Speechkit:
    """``speechkit("vad", path, code=0)``: runs the command line and expects its exit code.

    In a fork of a process that has imported it already; in an interpreter of its own where a
    variable may concern what that has read: none but those of ``UNREAD`` are let through.
    """

    def run(
        *arguments: object,
        code: int = 0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 300.0,
    ) -> Finished:
        words, env = [*map(str, arguments)], env or {}
        folder, variables = cwd or Path(), {**os.environ, **env}
        if all(name.startswith(UNREAD) for name in env):
            done = forkkit.run(words, stdin=stdin, env=variables, cwd=folder, timeout=timeout)
        else:
            done = subprocess.run(
                [sys.executable, "-m", "speechkit", *words],
                input=stdin,
                capture_output=True,
                env=variables,
                cwd=folder,
                check=False,
                timeout=timeout,
            )
        err = done.stderr.decode(errors="replace")
        assert done.returncode == code, f"exit {done.returncode}, expected {code}:\n{err}"
        assert "Traceback" not in err
        assert "internal error" not in err
        if words[0] in STAGES and done.returncode in (0, 3):
            _judge_output(words, done.stdout, folder)
        return Finished(done.returncode, done.stdout, err)

    return run


def _judge_output(arguments: list[str], out: bytes, cwd: Path) -> None:
    """What a stage writes, every stage takes."""
    named = [cwd / after for one, after in pairwise(arguments) if one in ("-o", "--output")]
    files = [path.read_bytes() for path in named if path.is_file()]
    for text in [*files, *[out] * out.startswith(b"{")]:
        faults = [fault(parse_line(line, "output")) for line in text.splitlines()]
        assert [one for one in faults if one] == []


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A ``tmp_path`` that every user may enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest-", "popen-", tmp_path.name)):
            folder.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="session")
def examples() -> Path:
    return ROOT / "examples" / "speech"


@pytest.fixture(scope="session")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"no {DATA}")
    return DATA


@pytest.fixture(scope="session")
def whispers() -> dict[str, Path]:
    """Whisper base for each engine, by the engine's name."""
    return _made({"whisper": REAL / "base-hf", "faster-whisper": REAL / "base"})


@pytest.fixture(scope="session")
def english_whispers() -> dict[str, Path]:
    """Whisper tiny.en for each engine."""
    return _made({"whisper": REAL / "tiny.en-hf", "faster-whisper": REAL / "tiny.en"})


@pytest.fixture(scope="session")
def untrained() -> dict[str, Path]:
    """A Whisper that has learnt nothing for each engine, of windows of two seconds: what takes
    hundreds of utterances takes it."""
    if find_spec("transformers") is None:
        pytest.skip("no transformers")
    folder = forkkit.shared("untrained", _make_untrained)
    return {"whisper": folder / "whisper", "faster-whisper": folder / "whisper-ct2"}


def _make_untrained(folder: Path) -> None:
    from whisperkit import make_untrained

    make_untrained(folder)


@pytest.fixture(scope="session")
def nemos() -> dict[str, Path]:
    """Tiny models of NeMo, which have learnt the digits."""
    return _made({"ctc": TINY / "nemo-ctc.nemo", "rnnt": TINY / "nemo-rnnt.nemo"})


@pytest.fixture(scope="session")
def fairseq() -> None:
    if find_spec("fairseq") is None:
        pytest.skip("no fairseq: scripts/system_packages.sh tests (a C++ compiler), make setup")


@pytest.fixture(scope="session")
def s2s_models(fairseq: None) -> Path:
    """The folder of tiny HuBERTs, a k-means and unit HiFi-GANs."""
    return _made({"s2s": TINY / "s2s"})["s2s"]


def _made(models: dict[str, Path]) -> dict[str, Path]:
    for path in models.values():
        if not path.exists():
            pytest.skip(f"no {path}: make models")
    return models


@pytest.fixture(scope="session")
def held_out(nemos: dict[str, Path]) -> Path:
    """A manifest of the digits that were kept out of training."""
    return nemos["ctc"].with_name("nemo-held-out.jsonl")


@pytest.fixture(scope="session")
def digits(held_out: Path) -> list[digitkit.Digit]:
    return digitkit.read(held_out)
