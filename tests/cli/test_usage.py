"""Help, refusals in one sentence, and where options come from."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FULL = "stdout: can't be written: No space left on device"
COMMANDS = ("manifest", "vad", "asr", "score", "split-manifest", "merge-results", "doctor")


@pytest.mark.parametrize("command", [*COMMANDS, "models list", "models get", "models verify"])
def test_every_command_explains_itself(speechkit: Any, command: str) -> None:
    for flag in ("--help", "-h"):
        done = speechkit(*command.split(), flag)
        assert not done.err
        text = " ".join(done.out.decode().split())
        assert text.startswith(f"Usage: speechkit {command}")
        assert "Example: speechkit " in text


@pytest.mark.parametrize("command", [*COMMANDS, "s2s", "slurm submit", "slurm rerun"])
def test_every_option_explains_itself(speechkit: Any, command: str) -> None:
    text = speechkit(*command.split(), "--help").out.decode()
    options = re.findall(r"^  (?:-\w, )?--.*\n(?: {20,}.*\n)*", text, re.MULTILINE)
    assert len(options) >= 2
    unexplained = r"--[\w/, -]+(<[^>]+>|[A-Z|]+)? *(\[env var: \w+\])?\s*"
    assert [one for one in options if re.fullmatch(unexplained, one.strip())] == []


def test_the_main_help_lists_the_commands_and_exit_codes(speechkit: Any) -> None:
    text = speechkit("--help").out.decode()
    assert all(f"  {command} " in text for command in COMMANDS)
    assert "75 stopped by a signal" in " ".join(text.split())
    assert speechkit("--version").out.startswith(b"speechkit ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("vad AUDIO --engine foo", "--engine foo: there are ten, silero, auto"),
        (
            "asr AUDIO --engine foo",
            "no asr engine 'foo'; there are: faster-whisper, nemo, pocketsphinx, whisper",
        ),
        ("vad nofile.wav", "nofile.wav: no such file or folder"),
        ("vad EMPTY", "EMPTY: no audio in this folder"),
        ("vad AUDIO -o x.srt", "-o x.srt: the output manifest ends in .jsonl or .json"),
        ("vad AUDIO -o x.jsonl.gz", "-o x.jsonl.gz: the output manifest ends in .jsonl or .json"),
        ("vad AUDIO --threshold 2", "threshold is 2.0: it has to be above 0 and at most 1"),
        ("vad AUDIO --threshold 0.1 --hysteresis 0.2", "hysteresis is 0.2: it has to be at least"),
        ("vad AUDIO --threshold high", "'high' is not a valid float"),
        ("vad AUDIO --min-silence -1", "min_silence is -1.0: it has to be at least 0"),
        ("vad AUDIO --max-segment 0.01", "max_segment is 0.01: it has to be at least 1"),
        ("vad AUDIO --emit words", "--emit words: there are recordings, segments"),
        ("vad AUDIO --format srt", "--format srt: there are jsonl, audacity, csv, rttm"),
        ("asr AUDIO --engine pocketsphinx --format rttm", "--format rttm: there are jsonl, ctm"),
        (
            "asr AUDIO --engine pocketsphinx -f srt -f vtt",
            "only one format fits on stdout; give --output-dir",
        ),
        (
            "asr AUDIO --engine pocketsphinx -f srt -o x.jsonl",
            "-o is the manifest; give --output-dir",
        ),
        ("asr AUDIO --engine pocketsphinx --one-file", "--one-file needs --output-dir"),
        ("asr AUDIO --engine pocketsphinx --retry-failed", "need an output file (-o)"),
        ("asr AUDIO --channel 0", "0 is not in the range"),
        ("asr AUDIO --workers -1", "-1 is not in the range"),
        ("asr AUDIO --limit 0", "0 is not in the range"),
        ("asr AUDIO --log-level loud", "'loud' is none of debug, info"),
        ("asr AUDIO --config none.yaml", "none.yaml: can't be read: No such file"),
        ("asr AUDIO --no-such-option", "No such option: --no-such-option"),
        ("asr", "Missing argument 'INPUT...'"),
        ("transcribe AUDIO", "No such command 'transcribe'"),
        ("score none.jsonl", "none.jsonl: can't be read: No such file"),
        ("score BROKEN", "broken.jsonl, line 2: not valid JSON"),
        ("vad BROKEN -o out.jsonl", "broken.jsonl, line 2: not valid JSON"),
        (
            "asr AUDIO BROKEN --engine pocketsphinx -o out.jsonl",
            "broken.jsonl, line 2: not valid JSON",
        ),
        ("split-manifest --input none.jsonl --splits 2", "none.jsonl: can't be read: No such file"),
        ("score BROKEN -o - --json", "-o - and --json: only one of them fits on stdout"),
        ("split-manifest --input BROKEN --splits 100001", "it has to be at most 100000"),
        ("split-manifest --input BROKEN --splits 0", "0 is not in the range"),
        ("merge-results --input-pattern none* -o x.jsonl", "none*: matches no result file"),
    ],
)
def test_what_cant_be_meant_is_refused_in_one_sentence(
    speechkit: Any, examples: Path, tmp_path: Path, arguments: str, sentence: str
) -> None:
    (tmp_path / "EMPTY").mkdir()
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"audio_filepath": "a.wav", "text": "a", "pred_text": "a"}\n{broken\n')
    places = {"AUDIO": str(examples / "awb" / "train.flac"), "BROKEN": str(broken)}
    before = sorted(tmp_path.iterdir())
    done = speechkit(*(places.get(a, a) for a in arguments.split()), code=2, cwd=tmp_path)
    assert done.out == b""
    assert sentence in done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith(("speechkit: ", "Error: "))
    assert sorted(tmp_path.iterdir()) == before  # refused before any work


@pytest.mark.parametrize(
    "command",
    [
        *("manifest M -o out.jsonl", "vad M -o out.jsonl", "vad - -o out.jsonl", "score M"),
        *("asr M --engine pocketsphinx -o out.jsonl", "score -", "score M -o out.jsonl"),
        *("split-manifest --input M --splits 2", "slurm submit vad --input M --splits 2"),
        "merge-results --input-pattern RESULTS --manifest M -o out.jsonl",
    ],
)
def test_every_command_refuses_the_same_lines_and_names_them_all(
    speechkit: Any, tmp_path: Path, command: str
) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_bytes(
        b'{"audio_filepath": "a.wav", "text": "a", "pred_text": "a"}\n'
        b'{"audio_filepath": "a.wav", "text": 7, "pred_text": "a"}\n'
        b"{broken\n"
        b'{"audio_filepath": "b.wav", "segments": [{"start": 0, "end": 1, "words": 3}]}\n'
    )
    results = tmp_path / "results.jsonl"
    results.write_text("")
    places = {"M": str(manifest), "RESULTS": str(results)}
    arguments = [places.get(one, one) for one in command.split()]
    with open(manifest, "rb") as file:
        done = speechkit(*arguments, code=2, cwd=tmp_path, stdin=file.read())
    assert done.out == b""
    name = "stdin" if "-" in arguments else str(manifest)
    assert done.err.splitlines()[-3:] == [
        f'speechkit: {name}, line 2: "text" must be a string, found 7: write it in quotes, "7"',
        f"{name}, line 3: not valid JSON: Expecting property name enclosed in double quotes "
        "at column 2",
        f'{name}, line 4: "segments" must be in order, each an object with "start" and "end" in '
        'seconds: item 1 has "words" that must be a list of objects, found 3',
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"m.jsonl", "results.jsonl"}


def test_a_missing_model_is_named(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    done = speechkit(
        *("asr", examples / "awb", "--engine", "pocketsphinx"), "--model", tmp_path, code=1
    )
    assert f"{tmp_path}: not a PocketSphinx model" in done.err


def options(speechkit: Any, tmp_path: Path, *arguments: object, **env: str) -> dict[str, Any]:
    summary = tmp_path / "summary.json"
    speechkit("vad", *arguments, "--summary", summary, env=env)
    found: dict[str, Any] = json.loads(summary.read_text())
    return {"threshold": found["options"]["segmentation"]["threshold"], "workers": found["workers"]}


@pytest.mark.slow
def test_the_command_line_beats_variables_beat_the_file(
    speechkit: Any, examples: Path, tmp_path: Path
) -> None:
    audio = examples / "awb" / "train.flac"
    config = tmp_path / "options.yaml"
    config.write_text("workers: 1\nvad:\n  threshold: 0.6\n")
    from_file = options(speechkit, tmp_path, audio, "--config", config)
    assert from_file == {"threshold": 0.6, "workers": 1}
    variables = {"SPEECHKIT_VAD_THRESHOLD": "0.7", "SPEECHKIT_WORKERS": "3"}
    from_variables = options(speechkit, tmp_path, audio, "--config", config, **variables)
    assert from_variables == {"threshold": 0.7, "workers": 3}
    given = (audio, "--config", config, "--threshold", "0.8", "--workers", "2")
    assert options(speechkit, tmp_path, *given, **variables) == {"threshold": 0.8, "workers": 2}
    alone = options(speechkit, tmp_path, audio, SPEECHKIT_CONFIG=str(config))
    assert alone == {"threshold": 0.6, "workers": 1}
    refused = speechkit("vad", audio, env={"SPEECHKIT_VAD_THRESHOLD": "high"}, code=2)
    assert "'high' is not a valid float" in refused.err


def test_the_variable_of_one_command_beats_that_of_all(
    speechkit: Any, examples: Path, tmp_path: Path
) -> None:
    audio = examples / "awb" / "train.flac"
    variables = {"SPEECHKIT_VAD_WORKERS": "2", "SPEECHKIT_WORKERS": "3"}
    assert options(speechkit, tmp_path, audio, **variables)["workers"] == 2


SCORED = b'{"audio_filepath": "/a.wav", "text": "one two", "pred_text": "one too"}\n'


def test_every_command_takes_the_file(speechkit: Any, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(SCORED)
    config = tmp_path / "options.yaml"
    config.write_text(
        "score: {json: false, worst: 0, output: rated.jsonl}\n"
        "split-manifest: {input: data.jsonl, splits: 1}\n"
        "merge-results: {input-pattern: data.jsonl, output: merged.jsonl, manifest: data.jsonl}\n"
    )
    speechkit("split-manifest", "--config", config, cwd=tmp_path)
    assert (tmp_path / "splits" / "data_split_00.jsonl").read_bytes() == SCORED
    (tmp_path / "splits" / "data_split_00.jsonl").rename(tmp_path / "done.jsonl")
    speechkit("merge-results", "--config", config, "--input-pattern", "done*", cwd=tmp_path)
    assert (tmp_path / "merged.jsonl").read_bytes() == SCORED
    speechkit("score", "data.jsonl", "--config", config, cwd=tmp_path)
    assert (tmp_path / "rated.jsonl").exists()


def test_score_names_the_figure_to_quote(speechkit: Any, tmp_path: Path) -> None:
    line = {"text": "今日は天気がいいですね", "pred_text": "今日は天気がいいです"}
    (tmp_path / "data.jsonl").write_text(json.dumps(line | {"audio_filepath": "/a.wav"}))
    done = speechkit("score", "data.jsonl", "--summary", "score.json", cwd=tmp_path)
    assert "quote the CER: 100% of the reference's characters" in done.out.decode()
    summary = json.loads((tmp_path / "score.json").read_text())
    assert (summary["normaliser"], summary["figure_to_quote"]) == ("unicode", "cer")
    assert round(summary["cer"], 4) == 0.0909


def test_rated_records_on_stdout_and_packed(speechkit: Any, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(SCORED)
    done = speechkit("score", "data.jsonl", "-o", "-", cwd=tmp_path)
    (record,) = map(json.loads, done.out.splitlines())
    assert record["wer"] == 0.5
    assert "50.00" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]
    speechkit("score", "data.jsonl", "-o", "rated.jsonl.gz", cwd=tmp_path)
    assert gzip.decompress((tmp_path / "rated.jsonl.gz").read_bytes()) == done.out


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("score - <&-", 2, "nothing to score: the input holds no records"),
        ("vad - <&-", 2, "stdin: no utterance came in"),
        ("vad AUDIO >&-", 1, "stdout: can't be written: Bad file descriptor"),
        ("vad AUDIO >/dev/full", 1, FULL),
        ("models list >/dev/full", 1, FULL),
        ("models list --json >/dev/full", 1, FULL),
        ("score DATA >/dev/full", 1, FULL),
        ("score DATA --json >/dev/full", 1, FULL),
        ("score DATA -o - >/dev/full", 1, FULL),
        ("vad AUDIO -o OUT >&-", 0, ""),
        ("vad AUDIO -o OUT <&- >&- 2>&-", 0, ""),
    ],
)
def test_a_closed_or_full_standard_stream(
    examples: Path, tmp_path: Path, command: str, code: int, sentence: str
) -> None:
    (tmp_path / "data.jsonl").write_bytes(SCORED)
    places = {"AUDIO": str(examples / "awb" / "train.flac"), "DATA": "data.jsonl", "OUT": "o.jsonl"}
    words = " ".join(places.get(word, word) for word in command.split())
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m speechkit {words}'],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (code, "")
    if code:
        assert done.stderr.startswith(f"speechkit: {sentence}")
        assert done.stderr.count("\n") == 1
    else:
        assert (tmp_path / "o.jsonl").read_bytes().count(b"\n") == 1


def test_a_format_from_the_file(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("vad: {format: csv}")
    done = speechkit("vad", examples / "awb" / "train.flac", "--config", config)
    assert done.out.splitlines()[0].count(b",") >= 2


@pytest.mark.parametrize("command", ["vad", "manifest"])
def test_the_summary_accounts_for_the_run(
    speechkit: Any, examples: Path, tmp_path: Path, command: str
) -> None:
    summary = tmp_path / "deep" / "summary.json"
    out = tmp_path / "out.jsonl"
    arguments = (command, examples / "awb", tmp_path / "none", "-o", out, "--summary", summary)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "text.wav").write_text("no audio")
    speechkit(*arguments, code=3)
    found = json.loads(summary.read_text())
    assert found["stage"] == command
    assert found["output"] == str(out)
    assert (found["utterances"], found["done"], found["resumed"], found["failed"]) == (3, 3, 0, 1)
    assert found["errors"] == {"AudioUnreadable": 1}
    assert found["exit_code"] == 3
    assert abs(found["audio_seconds"] - 10.045) < 0.01
    assert found["wall_seconds"] > 0
    speed = found["wall_seconds"] / found["audio_seconds"]
    assert abs(found["real_time_factor"] - speed) < 0.001
    assert found["peak_memory"] > 10 << 20
    assert {"speechkit", "python"} <= set(found["versions"])
    if command == "vad":
        assert found["options"]["engine"] == "ten"
        assert "ten-vad" in found["versions"]
    speechkit(*arguments, code=3)
    again = json.loads(summary.read_text())
    assert (again["utterances"], again["done"], again["resumed"], again["failed"]) == (3, 0, 3, 1)


def test_limit_takes_the_first(speechkit: Any, examples: Path) -> None:
    lines = speechkit("manifest", examples, "--limit", 3).out.splitlines()
    every = speechkit("manifest", examples).out.splitlines()
    assert len(every) == 12
    assert lines == every[:3]


@pytest.mark.slow
@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_stdout_is_data_in_utf8_and_nothing_else(
    speechkit: Any, examples: Path, tmp_path: Path, locale: dict[str, str]
) -> None:
    audio = tmp_path / "größe 音.flac"
    audio.symlink_to(examples / "awb" / "train.flac")
    for command in ("manifest", "vad"):
        done = speechkit(command, tmp_path, "--debug", "--log-level", "debug", env=locale)
        (record,) = map(json.loads, done.out.decode("utf-8").splitlines())
        assert record["audio_filepath"] == str(audio)
        assert "1 utterance, " in done.err
    csv = speechkit("vad", tmp_path, "--format", "csv", env=locale).out.decode("utf-8")
    assert "größe 音" in csv
