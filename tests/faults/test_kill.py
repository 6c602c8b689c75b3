"""``kill -9`` of a run at any moment: the same command goes on, and nobody can tell."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from faultkit import Run, Unbroken, kill_in_mid_run, run

from audiokit import cut_speech
from runkit import entries, tree, until, write_manifest

DYING = (sys.executable, "-m", "dying")


#: What a run comes to, and for how many seconds at most it goes on then until it is killed.
PHASES = {"start": 0.6, "workers": 0.2, "results": 0.05, "publishing": 0.0}


@dataclass
class Killer:
    """Kills runs, each of which goes on with the output of the one before."""

    unbroken: Unbroken
    folder: Path
    chance: random.Random

    def __post_init__(self) -> None:
        self.out = self.folder / "out.jsonl"
        self.command = (*self.unbroken.args, "-o", self.out)

    def kills_in(self, phase: str) -> bool:
        """Whether the run was not faster."""
        before = entries(self.out)
        left = self.unbroken.utterances - before
        more = before + self.chance.randrange(1, max(2, left // 2))
        going = Run(self.folder, *self.command)
        has_come = {
            "start": lambda: True,
            "workers": going.workers,
            "results": lambda: entries(self.out) >= more,
            "publishing": lambda: self.out.exists() or entries(self.out) == before + left,
        }[phase]
        until(lambda: has_come() or going.process.poll() is not None, every=0.002)
        time.sleep(PHASES[phase] * self.chance.random())
        going.process.kill()
        code = going.wait().code
        if code == 0:
            return False
        assert code == -signal.SIGKILL
        going.assert_no_survivors()
        assert self.out.exists() or entries(self.out) >= before, "a kill has cost results"
        return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("ten", ("start", "workers", "results", "results", "results", "publishing")),
        ("silero", ("workers", "results")),
        ("validate", ("workers", "results", "publishing")),
        ("asr", ("workers", "results")),
    ],
)
def test_kills_in_all_phases_of_a_run(
    name: str, phases: Sequence[str], seed: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    unbroken: Unbroken = request.getfixturevalue(name)
    killer = Killer(unbroken, tmp_path, random.Random(seed))
    for phase in phases:
        for _ in range(5):
            if killer.kills_in(phase):
                break
            assert killer.out.read_bytes() == unbroken.output
            killer.out.unlink()
        else:
            pytest.fail(f"no run was slow enough to be killed in its {phase}")
    last = run(tmp_path, *killer.command)
    assert last.code == 0, last.err
    assert killer.out.read_bytes() == unbroken.output
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert left == [".out.jsonl.run.json", "out.jsonl"]


@pytest.mark.slow
def test_a_kill_of_a_run_in_batches(untrained: dict[str, Path], tmp_path: Path) -> None:
    """They are formed of the same utterances again, so that not even a float differs. What is
    doubted, as here all is, is not sampled: CTranslate2 seeds its generator once in a process."""
    speech = cut_speech(tmp_path / "speech", 60, longest=1.6, seed=2)
    model = ["--engine", "faster-whisper", "--model", untrained["faster-whisper"]]
    options = ["--language", "en", "--temperature", 0, "--words", "--workers", 1]
    command = ["asr", speech, *model, *options]
    unbroken, out = tmp_path / "unbroken.jsonl", tmp_path / "out.jsonl"
    assert run(tmp_path, *command, "-o", unbroken).code == 0
    kill_in_mid_run(tmp_path, *command, out=out, done=10)
    assert run(tmp_path, *command, "-o", out).code == 0
    assert out.read_bytes() == unbroken.read_bytes()


def _prepare(folder: Path, flow: str) -> tuple[list[object], bytes]:
    """A command without its output, what is in its folder, and what the output must come to."""
    sound = cut_speech(folder / "speech", 4, longest=0.5, seed=4)
    paths = sorted(sound.glob("*/*.wav"))
    lines = [{"audio_filepath": str(path), "id": path.stem} for path in paths]
    manifest = write_manifest(folder / "in.jsonl", lines)
    command: list[object] = ["manifest", manifest, "--workers", 1]
    clean, out = folder / "clean.jsonl", folder / "before" / "out.jsonl"
    assert run(folder, *command, "-o", clean).code == 0
    out.parent.mkdir()
    if flow == "retry":
        aside = paths[1].rename(folder / "aside.wav")
        assert run(folder, *command, "-o", out).code == 3
        aside.rename(paths[1])
        command.append("--retry-failed")
    elif flow == "restart":
        assert run(folder, *command, "--limit", 2, "-o", out).code == 0
        command.append("--restart")
    return command, clean.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["first", "retry", "restart"])
def test_a_kill_at_each_step_of_the_files(flow: str, seed: int, tmp_path: Path) -> None:
    """Steps are lines of code: finer than system calls. Some of them, and others each time."""
    command, expected = _prepare(tmp_path, flow)
    shutil.copytree(tmp_path / "before", tmp_path / "0")
    out = tmp_path / "0" / "out.jsonl"
    alive = run(tmp_path, 0, *command, "-o", out, command=DYING)
    assert alive.code == 0, alive.err
    assert out.read_bytes() == expected
    steps, publishing = map(int, alive.err.splitlines()[-1].split())
    rng = random.Random(seed)
    late = [f"p{number}" for number in _some(publishing, 3, rng)]
    some = [*_some(steps - publishing, 1, rng), *late]
    print(f"{steps} steps, {publishing} of them when it publishes: {some}")
    killed = 0
    for step in some:
        out = tmp_path / str(step) / "out.jsonl"
        shutil.copytree(tmp_path / "before", out.parent)
        before = out.read_bytes() if out.exists() else None
        killed += run(tmp_path, step, *command, "-o", out, command=DYING).code == -9
        assert (out.read_bytes() if out.exists() else None) in (before, expected)
        again = run(tmp_path, *command, "-o", out)
        assert again.code == 0, again.err
        assert out.read_bytes() == expected, f"step {step}"
        names = sorted(path.name for path in out.parent.iterdir())
        assert names == [".out.jsonl.run.json", "out.jsonl"], f"step {step}"
    assert killed >= len(late)  # of the first ones some may not come: how often it flushes varies


def _some(steps: int, count: int, rng: random.Random) -> range:
    """As many of them at least, evenly apart."""
    return range(rng.randrange(1, steps // count), steps + 1, steps // count)


@pytest.mark.slow
def test_a_kill_of_an_s2s_run(s2s_models: Path, tmp_path: Path) -> None:
    """The audio is that of a run that was never killed, and nothing else lies beside it."""
    lines = [{"id": f"{n % 7}/{n}", "units": [n % 50, (n + 7) % 50] * 10} for n in range(70)]
    units = write_manifest(tmp_path / "units.jsonl", lines)
    folder = tmp_path / "speech"
    vocoder = ["--vocoder", s2s_models / "vocoder" / "g.pt", "--output-dir", folder]
    command = ["s2s", units, "--from-units", *vocoder]
    assert run(tmp_path, *command).code == 0
    unbroken = folder.rename(tmp_path / "unbroken")
    kill_in_mid_run(tmp_path, *command, out=folder / "s2s.jsonl", done=15)
    assert run(tmp_path, *command).code == 0
    assert tree(folder) == tree(unbroken)
    assert len(tree(folder)) == 73
