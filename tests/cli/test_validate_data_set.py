"""validate over a data set: texts, splits, what is kept, the summary and its baseline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
from tokenizers import Tokenizer, models, pre_tokenizers

from runkit import records, tree, write_manifest
from speechkit.io.journal import Journal
from speechkit.io.run_identity import RunIdentity
from speechkit.stages.validate.stage import ValidateOptions, validate_stage

Record = dict[str, Any]
WRONG = "An old captain went on deck at dawn and looked for land."


@dataclass(frozen=True, slots=True)
class Corpus:
    """Manifests of a data set, with the findings that are planted in it by path."""

    train: Path
    test: Path
    tokenizer: Path
    planted: dict[str, list[str]]


@pytest.fixture(scope="module")
def corpus(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two splits of the examples, in which every other line has one defect."""
    folder = tmp_path_factory.mktemp("corpus")
    speech = sorted(examples.glob("*/*.flac"))

    def line(number: int, **keys: Any) -> Record:
        path = speech[number]
        text = path.with_suffix(".txt").read_text().strip()
        return {"audio_filepath": str(path), "text": text, "pred_text": text.upper(), **keys}

    copy = folder / "copy.wav"
    soundfile.write(copy, *soundfile.read(speech[1], dtype="int16"))
    leak = folder / "leak.flac"
    shutil.copy(speech[0], leak)
    many = " ".join("abcdefghijklmnopqrstuvwxyzabcdef")
    train = [
        line(0, speaker="anna"),
        line(1, speaker="anna"),
        line(0, speaker="anna", planted="duplicate_line"),
        line(1, audio_filepath=str(copy), planted="duplicate_audio"),
        line(2, text="", planted="no_text"),
        line(3, text=WRONG, planted="wrong_text"),
    ]
    test = [
        line(4, speaker="ben"),
        line(0, audio_filepath=str(leak), planted="leaked_audio"),
        line(5, speaker="anna", planted="leaked_speaker"),
        line(6, text=line(6)["text"].replace(" ", "") * 6, pred_text=None, planted="fast_text"),
        line(7, text=many, pred_text=None, planted="too_many_tokens"),
        line(8, text=f"<b>{line(8)['text']}</b>", planted="markup"),
    ]
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return Corpus(
        write_manifest(folder / "train.jsonl", train),
        write_manifest(folder / "test.jsonl", test),
        folder,
        {},
    )


@pytest.fixture(scope="module")
def validated(
    speechkit: Callable[..., Any], corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with an output, a summary, and the two manifests of a validation."""
    folder = tmp_path_factory.mktemp("validated")
    speechkit("validate", *command(corpus, folder), code=3)
    return folder


def command(corpus: Corpus, folder: Path) -> list[str]:
    sources = [str(corpus.train), str(corpus.test)]
    files = ["-o", f"{folder}/v.jsonl", "--split-output", f"{folder}/split"]
    texts = ["--tokenizer", str(corpus.tokenizer), "--max-tokens", "31"]
    return [*sources, *files, *texts, "--summary", f"{folder}/s.json", "--workers", "1"]


def test_each_planted_defect_is_found_and_nothing_else_is(validated: Path) -> None:
    for record in records(validated / "v.jsonl"):
        planted = [record["planted"]] if "planted" in record else []
        assert record["issues"] + record["warnings"] == planted
        assert record["valid"] == (not record["issues"])


def test_lines_name_what_they_repeat_and_their_split(validated: Path) -> None:
    lines = records(validated / "v.jsonl")
    assert [line["split"] for line in lines] == ["train"] * 6 + ["test"] * 6
    named = {"line": 1, "audio_filepath": lines[0]["audio_filepath"]}
    assert lines[2]["measures"]["duplicate_of"] == lines[7]["measures"]["duplicate_of"] == named
    assert lines[8]["measures"]["speaker_of"] == named


def test_the_kept_and_the_rejected_lines_are_those_of_the_output(validated: Path) -> None:
    lines = (validated / "v.jsonl").read_bytes().splitlines(keepends=True)
    kept = b"".join(line for line in lines if json.loads(line)["valid"])
    rejected = b"".join(line for line in lines if not json.loads(line)["valid"])
    assert tree(validated / "split") == {
        ".validate.json": b'{\n "result": "../v.jsonl"\n}\n',
        "kept.jsonl": kept,
        "rejected.jsonl": rejected,
    }
    assert kept.count(b"\n") == 4


def test_the_summary_counts_findings_and_describes_measures(validated: Path) -> None:
    summary = json.loads((validated / "s.json").read_text())
    assert (summary["utterances"], summary["failed"], summary["invalid"]) == (12, 0, 8)
    assert summary["exit_code"] == 3
    assert summary["issues"] == dict.fromkeys(sorted(summary["issues"]), 1)
    assert summary["warnings"] == {"markup": 1}
    durations = sorted(record["duration"] for record in records(validated / "v.jsonl"))
    described = summary["measures"]["duration"]
    assert (described["count"], described["minimum"]) == (12, pytest.approx(durations[0]))
    assert described["quantiles"]["50"] == pytest.approx(sum(durations[5:7]) / 2, rel=1e-4)


def test_a_finished_validation_tells_and_leaves_the_same(
    speechkit: Callable[..., Any], corpus: Corpus, validated: Path
) -> None:
    before, summary = tree(validated), json.loads((validated / "s.json").read_text())
    (validated / "split" / "rejected.jsonl").unlink()
    done = speechkit("validate", *command(corpus, validated), code=3, env={"COLUMNS": "80"})
    after, again = tree(validated), json.loads((validated / "s.json").read_text())
    assert "complete already" in done.err
    assert "valid: 4 of 12" in done.err
    assert [line for line in done.err.splitlines() if "wrong_text" in line and "8.33%" in line]
    assert max(map(len, done.err.splitlines()[3:])) <= 100
    del before["s.json"], after["s.json"]
    assert after == before
    for part in ("invalid", "issues", "warnings", "measures", "exit_code"):
        assert again[part] == summary[part]


def test_a_baseline_decides_the_exit_code(
    speechkit: Callable[..., Any], corpus: Corpus, validated: Path, tmp_path: Path
) -> None:
    arguments = command(corpus, validated)[:4] + command(corpus, validated)[6:10]
    baseline = json.loads((validated / "s.json").read_text())
    same, better = tmp_path / "same.json", tmp_path / "better.json"
    same.write_text(json.dumps(baseline))
    del baseline["issues"]["wrong_text"]
    better.write_text(json.dumps(baseline))
    done = speechkit("validate", *arguments, "--baseline", same)
    assert "nothing is worse" in done.err
    report = tmp_path / "report.json"
    worse = ["--baseline", better, "--summary", report]
    done = speechkit("validate", *arguments, *worse, code=3)
    assert "issue wrong_text" in done.err
    compared = json.loads(report.read_text())
    assert [found["name"] for found in compared["comparison"]["worse"]] == ["wrong_text"]
    assert compared["exit_code"] == 3
    speechkit("validate", *arguments, "--baseline", better, "--baseline-tolerance", "0.09")


def test_what_is_refused_before_any_work(
    speechkit: Callable[..., Any], corpus: Corpus, validated: Path, tmp_path: Path
) -> None:
    split, out = validated / "split", tmp_path / "v.jsonl"
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "kept.jsonl").write_text("{}\n")
    refused = [
        (["--baseline", corpus.train], "is not the summary of a validation"),
        (["--baseline", tmp_path / "none"], "can't be read"),
        (["--split-output", split], "name another --split-output"),
        (["--split-output", tmp_path / "foreign"], "belongs to no validation"),
        (["--split-output", corpus.train], "is not a folder"),
        (["--split-output", "/proc/none/split"], "--split-output /proc/none/split: "),
        (["--tokenizer", tmp_path], "no such file; give a tokenizer.json or a folder"),
        (["--max-silence", 2], "--max-silence 2: must be a finite number from 0 to 1"),
        (["--report", corpus.train], "is an input too"),
        (["--report", out], "is the output too"),
        (["--min-snr", "nan"], "--min-snr nan: must be a finite number"),
    ]
    for options, sentence in refused:
        code = 1 if "/proc/none/split" in options else 2
        done = speechkit("validate", corpus.train, "-o", out, *options, code=code)
        assert sentence in done.err
    for option in (["--split-output", tmp_path / "new"], ["--asr"]):
        assert "needs an output file" in speechkit("validate", corpus.train, *option, code=2).err
    kept = ["-o", out, "--split-output", split, "--restart"]
    assert "is read or written" in speechkit("validate", split / "kept.jsonl", *kept, code=2).err
    assert {path.name for path in tmp_path.iterdir()} == {"foreign"}
    assert (tmp_path / "foreign" / "kept.jsonl").read_text() == "{}\n"


def test_a_resumed_run_and_a_retry_leave_what_an_undisturbed_run_does(
    speechkit: Callable[..., Any], examples: Path, tmp_path: Path
) -> None:
    line: Record = {"audio_filepath": str(sorted(examples.glob("*/*.flac"))[0])}
    carried = {**line, "id": "c", "error": {"type": "AudioEmpty", "message": "of another stage"}}
    lines = [{**line, "id": "a"}, {**line, "id": "b"}, carried]
    manifest = write_manifest(tmp_path / "in.jsonl", lines)

    def validate(name: str, *options: object) -> dict[str, bytes]:
        folder = tmp_path / name
        files = ("-o", folder / "v.jsonl", "--split-output", folder / "split")
        speechkit("validate", manifest, *files, "--workers", 1, *options, code=3)
        return tree(folder)

    def issues(files: dict[str, bytes], name: str) -> list[list[str]]:
        return [record["issues"] for record in records(files[name])]

    begin_with_an_error(manifest, tmp_path / "disturbed" / "v.jsonl")
    resumed = validate("disturbed")
    assert issues(resumed, "v.jsonl") == [["error"], [], ["error"]]
    assert issues(resumed, "split/rejected.jsonl") == [["error"], ["error"]]
    retried = validate("disturbed", "--retry-failed")
    assert issues(retried, "v.jsonl") == [[], ["duplicate_line"], ["error"]]
    assert retried == validate("straight")


def begin_with_an_error(manifest: Path, out: Path) -> None:
    """Leave what a run leaves that was killed when its first utterance had failed."""
    stage = validate_stage(ValidateOptions())
    with stage.inputs([str(manifest)]) as inputs:
        scan = inputs.scan()
        first = next(iter(inputs)).record
    identity = RunIdentity("validate", stage.options, scan.fingerprint, scan.count, scan.written)
    error = {"type": "WorkerDied", "message": "killed"}
    with Journal(out, identity) as journal:
        journal.append(0, [json.dumps({**first, **stage.error_keys, "error": error})])


@pytest.mark.slow
def test_wrong_transcripts_are_found_by_recognition(
    speechkit: Callable[..., Any], data: Path, whispers: dict[str, Path], tmp_path: Path
) -> None:
    """Three texts in each other's place, among five of LibriSpeech's test-other."""
    lines = records(data / "librispeech" / "manifest.jsonl")
    lines = sorted(lines, key=lambda line: float(line["duration"]))[2:7]
    swapped = [0, 2, 4]
    texts = [line["text"] for line in lines]
    for place, other in zip(swapped, swapped[1:] + swapped[:1], strict=True):
        lines[place] = {**lines[place], "text": texts[other]}
    for line in lines:
        line["audio_filepath"] = str(data / "librispeech" / line["audio_filepath"])
    out = tmp_path / "v.jsonl"
    manifest = write_manifest(tmp_path / "m.jsonl", lines)
    done = speechkit("validate", manifest, "-o", out, "--asr", code=3)
    found = [at for at, line in enumerate(records(out)) if "wrong_text" in line["issues"]]
    assert found == swapped
    assert len(records(tmp_path / "v.asr.jsonl")) == len(lines)
    assert "asr: 5 utterances" in done.err
    again = speechkit("validate", manifest, "-o", out, "--asr", code=3)
    assert again.err.count("complete already") == 2
