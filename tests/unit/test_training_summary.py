"""What a training says of itself: the hint on its context, and its history in the metrics."""

from __future__ import annotations

from pathlib import Path

from runkit import write_manifest
from speechkit.cluster.training_history import TrainingHistory
from speechkit.io.inputs import Inputs
from speechkit.runtime.metrics import RunFacts
from speechkit.runtime.metrics_file import read
from speechkit.training.context_hint import context_hint
from speechkit.training.leak import leaked
from speechkit.training.training_metrics import TrainingMetrics
from speechkit.training.watch import StepInfo


def test_a_long_utterance_in_a_hundred_is_named() -> None:
    seconds = [5.7] * 799 + [29.6]
    assert context_hint(seconds, 30.0) == (
        "1 of 800 utterances makes the context 30 s; --context 6 would leave it out and give the "
        "encoder 5.0 times less work"
    )
    assert "8 of 800 utterances make" in context_hint([5.7] * 792 + [29.6] * 8, 30.0)
    assert context_hint([5.7] * 791 + [29.6] * 9, 30.0) == ""
    assert context_hint([20.0] * 799 + [29.6], 30.0) == ""
    assert context_hint([3.0], 3.0) == ""


def test_evaluation_data_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    def lines(name: str, *spans: tuple[str, float, float | None]) -> list[str]:
        keys = ("audio_filepath", "offset", "duration")
        rows = [dict(zip(keys, span, strict=True)) for span in spans]
        return [str(write_manifest(tmp_path / name, rows))]

    train = lines("train.jsonl", ("a.wav", 0.0, 2.0), ("b.wav", 4.0, 2.0), ("c.wav", 0.0, None))
    held = [("a.wav", 2.0, 1.0), ("b.wav", 5.5, 2.0), ("c.wav", 9.0, 1.0), ("d.wav", 0.0, None)]
    with Inputs(train) as trained:
        assert leaked(lines("eval.jsonl", *held), trained) == 2
        assert leaked(lines("whole.jsonl", ("a.wav", 0.0, None)), trained) == 1


def test_what_is_not_a_number_is_a_gap(tmp_path: Path) -> None:
    """And a step that was computed again counts as it was computed last."""
    from speechkit.engines.finetune.protocol import StepResult

    path = tmp_path / "metrics.jsonl"
    facts = RunFacts("finetune", str(tmp_path), {})
    for losses in ((2.0, float("nan"), 1.5), (1.25,)):
        with TrainingMetrics(path, facts) as metrics:
            metrics.begin(4, 8.0)
            for step, loss in enumerate(losses, 4 - len(losses)):
                result = StepResult(loss=loss, norm=1.0, tokens=9)
                metrics.step(
                    StepInfo(
                        step=step,
                        steps=3,
                        result=result,
                        learning_rate=0.1,
                        seconds=0.5,
                        waited=0.1,
                        examples=2,
                        audio_seconds=4.0,
                    )
                )
            metrics.event("step_skipped", step=2, reason="the loss is nan")
    history = TrainingHistory()
    for line in read(path):
        history.add(line)
    assert history.values("loss") == [(1, 2.0), (2, None), (3, 1.25)]
    assert history.values("examples_per_second") == [(1, 4.0), (2, 4.0), (3, 4.0)]
    assert [*history.events] == [(2, "step skipped")]
    assert [line["exit_code"] for line in read(path) if line["event"] == "end"] == [0, 0]
