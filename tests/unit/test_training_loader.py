"""Examples decoded ahead in processes: equal bits however they are made, and no fault spreads."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from perilous_audio import PerilousAudio

from runkit import until
from speechkit.engines.finetune.protocol import TrainingExample
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import AudioNotFound, TimeLimit, UsageError, WorkerDied
from speechkit.io import audio
from speechkit.records import Utterance
from speechkit.runtime.stopping import StopRequest
from speechkit.training import loader as loader_module
from speechkit.training.augmentation import Augmenter, chance, find_noises, speech_power
from speechkit.training.batch_plan import BatchPlan
from speechkit.training.example_tasks import Tasks, at_speed, without_times
from speechkit.training.loader import LoadedStep, Loader
from speechkit.training.options import Augmentation
from speechkit.training.training_data import TrainingData, TrainingUtterance

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

SPEECH = Path(__file__).resolve().parents[2] / "examples" / "speech"
FIRST_TIMESTAMP = 1000
ALL = Augmentation(speed=0.1, gain=6.0, noise=SPEECH / "awb")


def data_of(files: Iterable[Path], context: float = 7.0) -> TrainingData:
    """Slices of the files, an index of the input apart from each other."""
    utterances = [
        TrainingUtterance(
            Utterance(2 * number, str(file), 0.5, 2.0), (7, *range(number), 1050, 9), 2.0
        )
        for number, file in enumerate(files)
    ]
    return TrainingData(tuple(utterances), {}, 99, context, FIRST_TIMESTAMP, len(utterances))


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return data_of(sorted(SPEECH.glob("[rks]*/*.flac")))


def planned(data: TrainingData, size: int = 3) -> BatchPlan:
    return BatchPlan([len(one.tokens) for one in data.utterances], size, 5)


def decoded(utterance: Utterance) -> Waveform:
    at = {"offset": utterance.offset, "duration": utterance.duration}
    return audio.load(utterance.audio, sample_rate=SAMPLE_RATE, **at).waveform  # type: ignore[arg-type]


def learnt(source: TrainingUtterance, example: TrainingExample) -> tuple[int, ...]:
    """The label, every other time without its times."""
    plain = without_times(source.tokens, FIRST_TIMESTAMP)
    assert plain != source.tokens
    return plain if example.seed % 2 else source.tokens


def bits(step: LoadedStep) -> list[object]:
    examples = [(e.waveform.tobytes(), e.tokens, e.seed) for e in step.examples]
    return [step.number, examples, step.used, dict(step.failures), step.unaugmented]


def test_equal_bits_however_they_are_made(data: TrainingData) -> None:
    plan = planned(data)
    with Loader(data, plan, ALL, 3, workers=1) as loader:
        whole = list(loader.steps(1, 6))
        step = next(loader.steps(6, 99))  # a training that goes back
    assert [step.number for step in whole] == [*range(1, 7)]
    assert all(np.isfinite(e.waveform).all() for step in whole for e in step.examples)
    assert not any(step.failures or step.unaugmented for step in whole)
    used = [index for step in whole[: plan.steps_per_epoch] for index in step.used]
    assert sorted(used) == [one.utterance.index for one in data.utterances]
    assert bits(step) == bits(whole[5])
    with Loader(data, plan, ALL, 3, workers=2) as loader:
        again = list(loader.steps(2, 5))
    assert [*map(bits, again)] == [*map(bits, whole[1:5])]


def test_each_rank_has_its_share_and_may_have_none(data: TrainingData) -> None:
    plan = planned(data, 1)
    shares = []
    for rank in range(2):
        with Loader(data, plan, Augmentation(), 3, rank=rank, ranks=2) as loader:
            shares.append(list(loader.steps(1, 40)))
    mine, none = shares
    assert [len(step.examples) for step in mine] == [1] * 40
    assert [bits(step)[1:] for step in none] == [[[], (), {}, 0]] * 40
    examples = [step.examples[0] for step in mine[: plan.steps_per_epoch]]
    indices = [draw.index for number in range(1, len(examples) + 1) for draw in plan.step(number)]
    for index, example in zip(indices, examples, strict=True):
        source = data.utterances[index]
        assert np.array_equal(example.waveform, decoded(source.utterance))
        assert example.tokens == learnt(source, example)


@pytest.mark.slow
def test_a_fault_costs_only_itself(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that is gone, one that kills its process each time or once, and one that hangs."""
    monkeypatch.setattr(loader_module, "ExampleAudio", PerilousAudio)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    files = [shutil.copy(SPEECH / "rms" / "doctor.flac", tmp_path / name) for name in NAMES]
    files.append(tmp_path / "gone.flac")
    data = data_of(files)
    with Loader(data, planned(data, 5), Augmentation(), 0, time_limit=0.3) as loader:
        steps = list(loader.steps(1, 1))
    (step,) = steps
    assert step.used == (4, 0)  # the longest labels first
    assert np.array_equal(*(example.waveform for example in step.examples))
    kinds = {index: type(error) for index, error in step.failures.items()}
    assert kinds == {2: WorkerDied, 6: TimeLimit, 8: AudioNotFound}
    assert "gone.flac" in str(step.failures[8])


NAMES = ("good.flac", "dies.flac", "once.flac", "hangs.flac")


def test_noise_that_cannot_be_read_costs_the_augmentation(
    data: TrainingData, tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    noisy = Augmentation(gain=6.0, noise=tmp_path)
    with Loader(data, planned(data), noisy, 3) as loader:
        (step,) = loader.steps(1, 1)
    assert step.unaugmented == len(step.examples) == 3
    for draw, example in zip(planned(data).step(1), step.examples, strict=True):
        source = data.utterances[draw.index]
        assert np.array_equal(example.waveform, decoded(source.utterance))
        assert example.tokens == learnt(source, example)
    with pytest.raises(UsageError, match="no such folder of noise"):
        Loader(data, planned(data), Augmentation(noise=tmp_path / "nowhere"), 3)
    (tmp_path / "broken.wav").unlink()
    with pytest.raises(UsageError, match="no audio in this folder"):
        find_noises(noisy)


PARENT = """
import os, signal, sys
from test_training_loader import ALL, SPEECH, Loader, data_of, planned
signal.signal(signal.SIGINT, lambda *_: None)
data = data_of(sorted(SPEECH.glob("rms/*.flac")))
with Loader(data, planned(data), ALL, 3) as loader:
    for step in loader.steps(1, 10**6):
        children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
        print(step.number, *children, flush=True)
        sys.stdin.readline()
"""


def test_processes_end_with_the_training_and_ignore_ctrl_c() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(  # type: ignore[call-overload]
        command, **pipes, env=environment, start_new_session=True, text=True
    ) as parent:
        _, *workers = parent.stdout.readline().split()
        threads = Path(f"/proc/{parent.pid}/task").iterdir()
        workers = [pid for t in threads for pid in (t / "children").read_text().split()]
        assert len(workers) == 1
        os.killpg(parent.pid, signal.SIGINT)
        for number in range(2, 40):  # more than wait for it
            parent.stdin.write("\n")
            parent.stdin.flush()
            assert parent.stdout.readline().split()[0] == str(number)
        parent.kill()
        until(lambda: not Path(f"/proc/{workers[0]}/exe").exists(), 20, every=0.05)
        assert parent.stderr.read() == ""


def test_a_few_steps_are_held_and_no_more(data: TrainingData) -> None:
    plan = planned(data)
    tasks = Tasks(((number, plan.step(number)) for number in range(1, 10**9)), data, 4)
    assert len(list(tasks)) == sum(len(plan.step(number)) for number in range(1, 5))
    assert list(tasks) == []
    assert not tasks.are_done


def test_a_training_that_is_told_to_stop_does_not_wait_for_audio(data: TrainingData) -> None:
    told = threading.Event()
    told.set()
    with Loader(data, planned(data), Augmentation(), 3, stop=StopRequest(told)) as loader:
        assert list(loader.steps(1, 5)) == []


def test_speed(data: TrainingData) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(32_000) / SAMPLE_RATE).astype(np.float32) / 2
    augmenter = Augmenter(Augmentation(speed=0.2), (), 35_000)
    speeds = []
    for epoch in range(20):
        changed, speed = augmenter.changed(tone, chance(0, epoch, 0))
        speeds.append(speed)
        assert len(changed) == pytest.approx(len(tone) / speed, abs=2)
        spectrum = np.abs(np.fft.rfft(changed, SAMPLE_RATE))
        assert int(spectrum.argmax()) == pytest.approx(440 * speed, abs=1)
    assert min(speed for speed in speeds if speed != 1.0) >= 32 / 35
    assert max(speeds) <= 1.2
    assert len(set(speeds)) > 10
    assert 1.0 in speeds  # one that would have become too long
    assert at_speed((7, 1000, 8, 1110, 9), 1.1, 1000) == (7, 1000, 8, 1100, 9)
    assert at_speed((7, 1000, 8, 1110, 9), 1.0, 1000) == (7, 1000, 8, 1110, 9)
    assert without_times((7, 1000, 8, 1110, 1110, 9, 1200, 3), 1000) == (7, 999, 8, 9, 3)
    assert without_times((7, 999, 8, 3), 1000) == (7, 999, 8, 3)


def test_noise_and_gain(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    speech, _ = soundfile.read(SPEECH / "rms" / "doctor.flac", dtype="float32")
    soundfile.write(tmp_path / "hiss.wav", rng.normal(0, 0.1, 8000), 8000)
    noises = find_noises(Augmentation(noise=tmp_path))
    one, _ = Augmenter(Augmentation(noise=tmp_path, snr=(7, 7)), noises, 10**6).changed(
        speech, chance(0, 0, 0)
    )
    added = (one - speech).astype(np.float64)
    assert 10 * np.log10(speech_power(speech) / np.mean(added**2)) == pytest.approx(7, abs=0.05)
    padded = np.concatenate([np.zeros(32_000, np.float32), speech])
    assert speech_power(padded) == pytest.approx(speech_power(speech), rel=0.02)
    quiet, augmenter = speech / 4, Augmenter(Augmentation(gain=6.0), (), 10**6)
    changed = [augmenter.changed(quiet, chance(0, epoch, 0))[0] for epoch in range(30)]
    decibels = 20 * np.log10([np.abs(one).max() / np.abs(quiet).max() for one in changed])
    assert decibels.min() >= -6.001
    assert decibels.max() <= 6.001
    assert np.ptp(decibels) > 8
    loud, _ = Augmenter(Augmentation(noise=tmp_path, snr=(-30, -30)), noises, 10**6).changed(
        speech, chance(0, 0, 0)
    )
    assert np.abs(loud).max() == pytest.approx(1.0)
    assert loud.dtype == np.float32
