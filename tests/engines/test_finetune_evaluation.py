"""Models measured during a training, guards, the card, and the export for faster-whisper."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

import forkkit
from runkit import write_manifest
from speechkit.errors import Drained, UsageError
from speechkit.io import typed_json
from speechkit.runtime import worker_process
from speechkit.runtime.stopping import StopRequest
from speechkit.training import evaluation, export, guard
from speechkit.training.evaluation import Evaluator, Measured, comparison, is_better
from speechkit.training.guard import GuardRates
from speechkit.training.model_card import write_card
from speechkit.training.options import FinetuneOptions
from speechkit.training.rates import Rates
from speechkit.training.summary import FinetuneSummary, Throughput
from whisper_to_transformers import read

STEP = 100


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whisper's server, and those of faster-whisper, too."""
    monkeypatch.setattr(worker_process, "subprocess", subprocess)
    forkkit.fork_workers(forkkit.server("asr", "whisper"))


@pytest.fixture(scope="module")
def options(
    english_whispers: dict[str, Path], examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> FinetuneOptions:
    folder = tmp_path_factory.mktemp("finetune")
    sets = []
    for place in ("slt/coffee", "rms/bridge"):
        audio = examples / f"{place}.flac"
        text = audio.with_suffix(".txt").read_text()
        line = {"audio_filepath": str(audio), "text": text, "lang": "en"}
        sets.append(str(write_manifest(folder / f"{audio.stem}.jsonl", [line])))
    return FinetuneOptions(
        train=(),
        model=str(english_whispers["whisper"]),
        output=folder,
        evaluation=(sets[0],),
        guards=(sets[1],),
        guard_budget=2.0,
    )


def exchanged(model: Path, folder: Path, one: str, other: str) -> Path:
    """A copy of a model that says one word for the other."""
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).symlink_to(file)
    settings = json.loads((model / "tokenizer.json").read_text())
    vocabulary, names = settings["model"]["vocab"], (f"Ġ{one}", f"Ġ{other}")
    vocabulary[names[0]], vocabulary[names[1]] = (vocabulary[name] for name in names[::-1])
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_checkpoint_that_forgot_too_much_is_refused(
    options: FinetuneOptions,
    english_whispers: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "ENGINE", "faster-whisper")  # it starts sooner
    whole = english_whispers["faster-whisper"]
    given = exchanged(whole, tmp_path / "given", "coffee", "tea")
    forgetful = exchanged(whole, tmp_path / "forgetful", "bridge", "old")
    options = replace(options, model=str(given))
    with StopRequest() as stop:
        evaluator = Evaluator(options, Path(options.model), tmp_path, device="cpu", stop=stop)
        before = evaluator.before
        evaluations = tmp_path / "evaluations"
        # The same step of a training that went back to an earlier checkpoint is another model.
        shutil.copytree(evaluations / "step-000000", evaluations / f"step-{STEP:06}")
        found = evaluator.measure(forgetful, STEP, None)
        equal = evaluator.measure(given, 0, None)
    (name,) = options.guards
    assert (before.wer, before.guards[name].wer, before.guards[name].moved) == (1 / 12, 0, 0)
    assert (found.wer, found.guards[name].wer) == (0, 1 / 13)
    for part in (f"guard {name}", "7.69 %", "allows 2"):
        assert part in found.refused
    rows = comparison(before, found)
    assert [row["worse"] for row in rows] == [False, True]
    assert [one["name"] for one in rows[1]["languages"]] == ["en"]
    assert typed_json.to_dataclass(Measured, json.loads(json.dumps(asdict(found)))) == found
    refused = "WER 8.33 %, and that of the model as given is 8.33 %"
    assert equal == replace(before, guards={}, refused=refused)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_faster_whisper_takes_the_export_and_hears_the_same(
    options: FinetuneOptions, english_whispers: dict[str, Path], tmp_path: Path
) -> None:
    best = tmp_path / "best"
    shutil.copytree(options.model, best)
    settings = json.loads((best / "config.json").read_text())
    (best / "config.json").write_text(json.dumps(settings | {"encoder_context": 6.0}))
    with StopRequest() as stop:
        evaluator = Evaluator(options, Path(options.model), tmp_path, device="cpu", stop=stop)
        proof = export.export_ct2(best, STEP, tmp_path, evaluator)
    assert proof
    assert proof.own == proof.other
    assert (proof.different, proof.own.wer, proof.refused) == (0, 0.0, "")
    folder = tmp_path / export.FOLDER
    assert json.loads((folder / "config.json").read_text())["encoder_context"] == 6.0
    original = read(english_whispers["faster-whisper"] / "model.bin")
    for name, value in read(folder / "model.bin").items():
        assert name not in original or (value == original[name]).all(), name


def test_engines_that_differ_refuse_the_export() -> None:
    one = Rates(wer=0.1, cer=0, utterances=9, failed=0, reference=1000)
    assert not export.refusal(one, replace(one, wer=0.105))
    assert "more than 0.5 points apart" in export.refusal(one, replace(one, wer=0.106))
    few = replace(one, reference=10)
    assert not export.refusal(few, replace(few, wer=0.3))


def test_a_stopped_evaluation_drains(options: FinetuneOptions, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with StopRequest(cancel) as stop:
        stopped = Evaluator(options, Path(options.model), tmp_path, device="cpu", stop=stop)
        with pytest.raises(Drained, match="during an evaluation"):
            stopped.measure(Path(options.model), STEP, None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [({}, "1 of 1 utterances have no `text`"), ({"text": " . "}, "no words")],
)
def test_what_nothing_can_be_compared_with_is_refused(
    options: FinetuneOptions, tmp_path: Path, line: dict[str, str], problem: str
) -> None:
    bare = write_manifest(tmp_path / "bare.jsonl", [{"audio_filepath": "a.wav", **line}])
    with StopRequest() as stop, pytest.raises(UsageError, match=problem) as refused:
        Evaluator(
            replace(options, guards=(str(bare),)),
            Path(options.model),
            tmp_path,
            device="cpu",
            stop=stop,
        )
    assert str(bare) in str(refused.value)


def rates(wer: float, **more: object) -> GuardRates:
    return GuardRates(wer=wer, cer=wer / 2, utterances=10, failed=0, reference=100, **more)


def test_the_budget_is_of_the_figure_to_quote() -> None:
    assert guard.refusal({"g": rates(0.1)}, {"g": rates(0.12)}, 2.0) == ""
    assert guard.refusal({"g": rates(0.1)}, {"g": rates(0.9)}, None) == ""
    assert "WER of guard g" in guard.refusal({"g": rates(0.1)}, {"g": rates(0.121)}, 2.0)
    japanese = {"g": rates(1.0, figure="cer")}, {"g": rates(1.03, figure="cer")}
    assert guard.refusal(*japanese, 2.0) == ""
    assert "CER of guard g" in guard.refusal(*japanese, 1.0)


def test_words_that_moved() -> None:
    def said(*words: tuple[str, float]) -> dict[str, object]:
        timed = [{"word": word, "start": start} for word, start in words]
        return {"segments": [{"words": timed[:1]}, {"words": timed[1:]}]}

    before = [said(("a", 0.0), ("b", 1.0), ("c", 2.0)), {"error": {"type": "AudioEmpty"}}]
    after = [said(("a", 0.4), ("x", 0.5), ("c", 2.6)), said(("a", 0.0))]
    assert guard.moved_share(before, after) == 0.5
    assert guard.moved_share(before, [said(), said()]) is None


def test_equal_is_not_better() -> None:
    one = rates(0.1)
    assert is_better(one, None, "wer")
    assert not is_better(one, one, "wer")
    assert is_better(replace(one, cer=0.01, wer=0.2), one, "cer")


def summary_of(folder: Path, before: Measured, after: Measured, evaluation: str) -> FinetuneSummary:
    return FinetuneSummary(
        output=str(folder),
        model="base: *my* model",
        utterances=3,
        usable=2,
        timed=1,
        trained=1,
        skipped={"no_text": 1},
        failed={"AudioEmpty": 1},
        unaugmented=0,
        planned=9,
        steps=9,
        ended="steps",
        skipped_steps=0,
        returns=0,
        before=before,
        best=after,
        last=after,
        best_model=str(folder),
        last_model=str(folder),
        export=None,
        context=2.5,
        batch_size=1,
        device="cpu",
        compute_type="float32",
        trainable=1,
        parameters=1,
        train_seconds=1.0,
        evaluation_seconds=1.0,
        audio_seconds=1800.0,
        pace=Throughput(),
        peak_memory=1,
        device_memory=None,
        hint="",
        options={"evaluation": [evaluation], "language": None},
        versions={"torch": "2"},
    )


def test_the_card_says_what_was_learnt_and_forgotten(tmp_path: Path) -> None:
    strange = 'g|``u"ard\u2028\udc80😀.jsonl'
    write_manifest(
        tmp_path / "training-data.jsonl",
        [
            {"audio_filepath": "a.wav", "duration": 1800.0, "lang": "de", "used": 3},
            {"audio_filepath": "b.wav", "duration": 9.0, "used": 0, "skipped": ["no_text"]},
            {"audio_filepath": "c.wav", "used": 0, "error": {"type": "AudioEmpty", "message": ""}},
        ],
    )
    languages = {"en": rates(0.5)}
    after = Measured(
        step=9,
        wer=0.02,
        cer=0.01,
        utterances=5,
        failed=1,
        guards={strange: rates(0.25, moved=0.125, languages=languages)},
    )
    before = replace(after, step=0, wer=0.2, guards={strange: rates(0.2, languages=languages)})
    write_card(tmp_path, summary_of(tmp_path, before, after, strange), after)
    _, front, body = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["language"] == ["de"]
    assert card["base_model"] == "base: *my* model"
    (result,) = card["model-index"][0]["results"]
    assert result["dataset"]["name"] == strange
    assert result["metrics"][0] == {"type": "wer", "value": 0.02}
    for part in (
        "Of 3 utterances, 2 could be trained on, 0.50 hours of speech, and 1 were. "
        "Of those that could, 1 had the times of their words or segments.",
        "- `no_text`: 1\n- `AudioEmpty`: 1",
        "| evaluation | 5 | 1 | 20.00 | 2.00 | 1.00 | 1.00 |",
        "20.00 | 25.00 | 10.00 | 12.50 |",
        "12.5 % of the words",
        "clip of up to 2.5 s in a window of 2.5 s",
        "transformers pads every clip to 30 s",
    ):
        assert part in body
    rows = [line for line in body.splitlines() if line.startswith("| guard")]
    assert [len(row.replace("\\|", "").split("|")) for row in rows] == [9, 9]
