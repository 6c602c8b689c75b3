"""The loop of a training, with a model of four numbers."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from speechkit.engines.finetune.protocol import LoraOptions, StepResult, TrainingExample
from speechkit.errors import AudioUnreadable, Drained, TrainingDiverged, TrainingInterrupted
from speechkit.runtime import stopping
from speechkit.runtime.stopping import StopRequest
from speechkit.training import divergence
from speechkit.training.checkpoints import Checkpoints
from speechkit.training.evaluation import Measured
from speechkit.training.guard import GuardRates
from speechkit.training.loader import LoadedStep
from speechkit.training.loop_options import LoopOptions
from speechkit.training.options import LORA_LEARNING_RATE, FinetuneOptions
from speechkit.training.schedule import Schedule, step_seed
from speechkit.training.state import TrainingState, load_state
from trainingkit import (
    BROKEN,
    Evaluator,
    Heard,
    Loader,
    Threads,
    Trainer,
    loop_options,
    rates,
    run_training,
)

CHANGES = {"os.rename", "os.rmdir", "os.link", "open"}


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that is quick to write to, where there is one."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def outcome(folder: Path, state: TrainingState) -> object:
    """All that a training leaves behind, but for times."""
    timeless = replace(state, seconds=0.0, evaluation_seconds=0.0)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    tensors = {str(path): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}
    return timeless, names, [content for _, content in sorted(tensors.items())]


def killed(work: Callable[[], object], folder: Path, after: int) -> bool:
    """Whether a process was killed before its work was done: before another change of a file."""
    child = os.fork()
    if child == 0:
        left = after

        def count(event: str, details: tuple[object, ...]) -> None:
            nonlocal left
            is_ours = event in CHANGES and str(details[0]).startswith(str(folder))
            if is_ours and (event != "open" or details[1] in ("w", "x")):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.slow
def test_a_training_killed_at_any_change_of_any_file_ends_with_the_same_bits(
    in_memory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It also diverges in step 3, and returns to its beginning with half the rate."""
    monkeypatch.setattr(divergence, "LIMIT", 1)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a kill does without
    options = loop_options(rate=2 * 0.5)
    unbroken = in_memory / "unbroken"
    expected = run_training(unbroken, options)
    assert (expected.returns, expected.rate_factor, expected.step) == (1, 0.5, 4)
    assert len(expected.evaluations) == 3
    points = 0
    while True:
        folder = in_memory / str(points)
        if not killed(lambda folder=folder: run_training(folder, options), folder, points):  # type: ignore[misc]
            break
        state = run_training(folder, options)
        assert outcome(folder, state) == outcome(unbroken, expected), points
        points += 1
    assert points > 50
    folder, kills = in_memory / "again and again", 0
    while killed(lambda: run_training(folder, options), folder, 20 + kills):
        kills += 1
    assert kills >= 3
    assert outcome(folder, run_training(folder, options)) == outcome(unbroken, expected)
    assert not caplog.messages, "a kill damages no checkpoint"


class Failing(Evaluator):
    """The process is killed while it evaluates."""

    def measure(self, *args: object) -> object:  # type: ignore[override]
        raise KeyboardInterrupt


def test_an_evaluation_that_was_killed_is_made_again_and_no_other(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "killed", evaluator=Failing())
    trainer, evaluator = Trainer(), Evaluator()
    state = run_training(tmp_path / "killed", trainer=trainer, evaluator=evaluator)
    assert evaluator.measured == [2, 4]
    assert len(trainer.steps) == 2, "steps 1 and 2 were there"
    again = Evaluator()
    assert run_training(tmp_path / "killed", evaluator=again).evaluations == state.evaluations
    assert again.measured == [4], "all but the last one are in the last checkpoint"


def test_what_was_used_and_what_failed_is_counted(tmp_path: Path) -> None:
    state = run_training(tmp_path, loop_options(steps=10, rate=0.1))
    assert state.used == (4, 4, 4, 0, 4)
    assert state.failures == {BROKEN: {"type": "AudioUnreadable", "message": "no audio"}}
    assert state.unaugmented == 16


class Chosen(Evaluator):
    """The rates of steps 2, 4, 6 …"""

    def __init__(self, *wers: float, refused: tuple[int, ...] = ()) -> None:
        super().__init__()
        self._wers, self._refused = wers, refused

    def measure(self, model: Path, step: int, best: Measured | None) -> Measured:
        assert (model / "model.safetensors").is_file()
        self.measured.append(step)
        refused = "it forgot" if step in self._refused else ""
        return rates(step, self._wers[step // 2 - 1], refused=refused)


@pytest.mark.parametrize(
    ("wers", "refused", "best", "last"),
    [
        ((0.5, 0.4, 0.4, 0.6), (), 4, 8),
        ((0.5, 0.3, 0.4, 0.4), (4,), 6, 10),
        ((0.5, 0.4), (2, 4), 0, 4),
    ],
)
def test_the_best_checkpoint_and_the_end_of_patience(
    wers: tuple[float, ...], refused: tuple[int, ...], best: int, last: int, tmp_path: Path
) -> None:
    options = loop_options(steps=20, rate=0.1, patience=2)
    evaluator = Chosen(*wers, 0.4, 0.4, refused=refused)
    state = run_training(tmp_path, options, evaluator=evaluator)
    assert (state.best, state.step, state.ended) == (best, last, "patience")
    published = tmp_path / "best" / "model.safetensors"
    if best:
        of_best = Checkpoints(tmp_path).path(best) / "model" / "model.safetensors"
        assert published.read_bytes() == of_best.read_bytes()
    else:
        assert not published.parent.exists()


def test_without_an_evaluation_only_the_last_is_published(tmp_path: Path) -> None:
    state = run_training(tmp_path, loop_options(steps=5, rate=0.1), evaluator=None)
    assert (state.step, state.best, state.evaluations) == (5, 0, ())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "last"]
    assert Checkpoints(tmp_path).steps() == [4, 5]


class Exploding(Trainer):
    """From a step on, whatever the rate."""

    def explodes(self, examples: Sequence[TrainingExample], learning_rate: float) -> bool:
        return examples[0].seed >= 5


@pytest.mark.parametrize("save_every", [1, 2])
def test_too_many_skipped_steps_are_the_end(save_every: int, tmp_path: Path) -> None:
    """Those that are saved meanwhile don't drive out the good checkpoint."""
    options, heard = loop_options(steps=20, rate=0.1, save_every=save_every), Heard()
    with pytest.raises(TrainingDiverged, match=r"step 9: 5 steps in a row .* with 0\.125 of") as e:
        run_training(tmp_path, options, trainer=Exploding(), listener=heard)
    assert e.value.exit_code == 1
    returns = [facts["rate_factor"] for kind, facts in heard.events if kind == "returned"]
    assert returns == [0.5, 0.25, 0.125]
    assert heard.events[5][1]["to"] == {1: 3, 2: 2}[save_every]
    assert [kind for kind, _ in heard.events].count("step_skipped") == 20


def test_a_checkpoint_after_which_all_steps_were_skipped_is_not_good() -> None:
    state = TrainingState(step=9, skipped_in_a_row=5)
    assert divergence.last_good_step(state) == 3, "the steps 5 to 9: weights of step 4 are bad"


def test_scales_of_float16_have_more_skipped_steps() -> None:
    for scale, limit in ((None, 5), (1024.0, 20)):
        state, result = (
            TrainingState(),
            StepResult(loss=0, norm=0, tokens=1, skipped="Inf", scale=scale),
        )
        steps = 0
        while not divergence.has_diverged(state, result):
            state, steps = divergence.counted(state, result), steps + 1
        assert steps == limit
        sound = replace(result, skipped="")
        assert divergence.counted(state, sound).skipped_in_a_row == 0


def test_a_high_norm_stands_out() -> None:
    norms = divergence.GradientNorms()
    assert not any(norms.unusual(norm) for norm in [1.0, 500.0] + [2.0] * 20)
    assert norms.unusual(19.0) == 0
    assert norms.unusual(21.0) == 10.5


class Stopping(Trainer):
    """Stops the training in step 3."""

    def __init__(self, stop: Callable[[], object]) -> None:
        super().__init__()
        self._stop = stop

    def step(
        self, examples: Sequence[TrainingExample], learning_rate: float, seed: int
    ) -> StepResult:
        if seed == step_seed(0, 3):
            self._stop()
        return super().step(examples, learning_rate, seed)


def test_a_stopped_training_saves_and_goes_on(tmp_path: Path) -> None:
    options = loop_options(steps=5, rate=0.1, save_every=5, evaluate_every=5)
    expected = run_training(tmp_path / "unbroken", options)
    cancel, heard = threading.Event(), Heard()
    with pytest.raises(Drained, match="cancelled after step 3; run the same command again") as e:
        run_training(
            tmp_path / "stopped",
            options,
            trainer=Stopping(cancel.set),
            stop=StopRequest(cancel),
            listener=heard,
        )
    assert e.value.exit_code == 75
    assert heard.saves == [0, 3]
    state = run_training(tmp_path / "stopped", options)
    assert (state.used, state.evaluations) == (expected.used, expected.evaluations)
    last = "last/model.safetensors"
    assert (tmp_path / "stopped" / last).read_bytes() == (tmp_path / "unbroken" / last).read_bytes()


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_saves_and_a_second_one_ends_at_once(signals: int, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        stopping._ECHO = 0.0

        def send() -> None:
            for _ in range(signals):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)

        try:
            with StopRequest(signals=True) as stop:
                run_training(tmp_path, loop_options(rate=0.1), trainer=Stopping(send), stop=stop)
        except Drained as e:
            os._exit(e.exit_code)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 75
    assert Checkpoints(tmp_path).steps() == ([0, 2, 3] if signals == 1 else [0, 2])


class Silent(Loader):
    """None of the audio of step 2 can be loaded."""

    def steps(self, first: int, last: int) -> Iterator[LoadedStep]:
        for loaded in super().steps(first, last):
            failed = {index: AudioUnreadable("gone") for index in loaded.used}
            yield (
                replace(loaded, examples=(), used=(), failures=failed)
                if loaded.number == 2
                else loaded
            )


def test_a_step_of_which_nothing_can_be_loaded_is_used_up(tmp_path: Path) -> None:
    trainer, heard = Trainer(), Heard()
    state = run_training(
        tmp_path, loop_options(rate=0.1), trainer=trainer, listener=heard, loader=Silent()
    )
    assert trainer.steps == [step_seed(0, step) for step in (1, 3, 4)]
    assert [info.step for info in heard.steps] == [1, 3, 4]
    assert ("step_without_examples", {"step": 2}) in heard.events
    assert state.step == 4
    assert sorted(state.failures) == [2, BROKEN, 4]
    assert state.silent_in_a_row == 0


class Unplugged(Loader):
    """From step 3 on there is no audio."""

    def steps(self, first: int, last: int) -> Iterator[LoadedStep]:
        for loaded in super().steps(first, last):
            failed = dict.fromkeys(loaded.used, AudioUnreadable("no such folder"))
            gone = replace(loaded, examples=(), used=(), failures=failed)
            yield gone if loaded.number >= 3 else loaded


def test_a_training_whose_audio_is_gone_ends_and_goes_on_when_it_is_there(tmp_path: Path) -> None:
    options = loop_options(steps=12, rate=0.1, save_every=6, evaluate_every=6)
    expected = run_training(tmp_path / "unbroken", options)
    for _ in range(2):
        with pytest.raises(TrainingInterrupted, match=r"step 7: no audio .* folder.*same") as e:
            run_training(tmp_path / "gone", options, loader=Unplugged())
        assert e.value.exit_code == 75
        assert Checkpoints(tmp_path / "gone").steps() == [0, 6]
    (tmp_path / "gone" / "checkpoints" / "step-000006" / "state.json").unlink()
    state = run_training(tmp_path / "gone", options)
    assert state.used == expected.used


class Decaying(Exploding):
    """The checkpoint to which it should return is damaged while it trains."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def explodes(self, examples: Sequence[TrainingExample], learning_rate: float) -> bool:
        if not super().explodes(examples, learning_rate):
            return False
        for path in self._folder.glob("checkpoints/step-000003/training.safetensors"):
            os.truncate(path, 10)
        return True


def test_a_training_returns_to_no_checkpoint_that_was_damaged_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    options = loop_options(steps=20, rate=0.1, save_every=3, evaluate_every=20)
    with pytest.raises(TrainingDiverged):
        run_training(tmp_path, options, trainer=Decaying(tmp_path), listener=heard)
    assert heard.events[5] == ("returned", {"step": 9, "to": 6, "rate_factor": 0.5})
    assert "step-000003: passed over" in caplog.messages[0]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_two_processes_make_the_same_calls_and_one_writes(is_stopped: bool, tmp_path: Path) -> None:
    """One of them may have no example in a step, and may alone be told to stop."""
    threads, cancel = Threads(2), threading.Event()
    stops = [StopRequest(), StopRequest(cancel)]
    heard, ends = [Heard(), Heard()], [None, None]

    def work(rank: int) -> None:
        trainer = Stopping(cancel.set if is_stopped and rank else bool)
        options = loop_options(steps=10, rate=0.1)
        try:
            ends[rank] = run_training(
                tmp_path,
                options,
                trainer=trainer,
                ranks=threads.rank(rank),
                evaluator=None if rank else Evaluator(),
                stop=stops[rank],
                listener=heard[rank],
            )
        except Drained as e:
            ends[rank] = e  # type: ignore[call-overload]

    both = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    if is_stopped:
        assert all(isinstance(end, Drained) for end in ends)
        assert Checkpoints(tmp_path).steps() == [0, 2, 3]
    else:
        assert ends[0] is not None
        assert replace(ends[0], seconds=0, evaluation_seconds=0) == replace(
            ends[1], seconds=0, evaluation_seconds=0
        )
        assert ends[0].used == (4, 4, 4, 0, 4)
        assert heard[0].steps[0].examples == 2
    assert heard[0].saves
    assert not heard[1].saves


def test_rates_are_those_of_transformers() -> None:
    schedule = Schedule(peak=8.0, warmup=2, steps=6)
    assert [schedule.rate(step) for step in range(1, 7)] == [0, 4, 8, 6, 4, 2]
    assert [Schedule(4.0, 0, 4).rate(step) for step in range(1, 5)] == [4, 3, 2, 1]


def test_options_that_are_not_given() -> None:
    given = FinetuneOptions(train=("a",), model="m", output=Path("o"), epochs=2)
    options = LoopOptions.of(given, 13)
    assert (options.steps, options.evaluate_every, options.save_every) == (26, 3, 3)
    assert options.schedule == Schedule(1e-5, 2, 26)
    lora = replace(given, lora=LoraOptions(rank=4, alpha=8), steps=7, warmup=0, save_every=2)
    options = LoopOptions.of(lora, 13)
    assert (options.steps, options.evaluate_every, options.save_every) == (7, 1, 2)
    assert options.schedule == Schedule(LORA_LEARNING_RATE, 0, 7)


def test_a_state_is_read_as_it_was_written() -> None:
    guards = {"other": GuardRates(wer=0.1, cer=0.2, utterances=3, failed=0, moved=None)}
    state = TrainingState(
        step=3,
        used=(1, 0),
        failures={1: {"type": "AudioNotFound", "message": "ü", "more": [1, [2]]}},
        evaluations=(replace(rates(2, 0.5), guards=guards),),
    )
    assert load_state(state.dump()) == state
    for wrong in (b"[]", b"{", b'{"step": -1}', b'{"steps": 1}', b'{"used": [true]}', b"\xff"):
        with pytest.raises(ValueError, match=r"\w"):
            load_state(wrong)
    with pytest.raises(ValueError, match="wer can't be 'x'"):
        load_state(state.dump().replace("0.5", '"x"'))
