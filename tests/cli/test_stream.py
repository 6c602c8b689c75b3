"""Live transcription from the command line, in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

import loudness
from runkit import part_of, records, until
from streamkit import ENGINE, Finished, Live, kept, stream

RATE = 16_000


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return loudness.declared(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def talk(examples: Path) -> Path:
    return examples / "slt" / "coffee.flac"


@pytest.fixture(scope="module")
def pcm(talk: Path) -> bytes:
    """The same audio as raw s16."""
    samples, rate = soundfile.read(talk, dtype="int16")
    assert rate == RATE
    return samples.astype("<i2").tobytes()


def test_a_file_and_the_same_audio_on_stdin(env: dict[str, str], talk: Path, pcm: bytes) -> None:
    heard = stream(env, talk)
    events = records(heard.out)
    assert {event["type"] for event in events} == {"partial", "final", "gap", "end"}
    assert events[-1] == {"type": "end", "seconds": 4.765, "emitted": 4.765}
    assert len(kept(events)) > 5
    raw = ("-", "--rate", RATE, "--pace", "max")
    assert stream(env, *raw, stdin=pcm).out == heard.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.wav"], "none.wav: no such file"),
        (["."], ".: is no file; a stream takes one, or a pipe as - (stdin)"),
        (["-", "--rate", 10], "--rate 10: it has to be 1000 to 768000 Hz"),
        (["-", "--channels", 2], "take its --rate as well"),
        (["-", "--rate", RATE], "stdin: no audio came in"),
        ([__file__, "--rate", RATE], "--rate is of raw PCM on stdin (-)"),
        ([__file__], "not audio"),
        (["-", "--pace", "2"], "--pace 2: there are 1, max"),
        (["-", "--step", 0], "--step 0: it has to be from 0.1 to 10 seconds"),
        (["-", "--policy", "guess"], "--policy guess: there are attention and agreement"),
        (["-", "--vad", "none"], "--vad none: there are ten, silero"),
        (["-", "-f", "srt", "-f", "vtt"], "only one format fits on stdout; give --output-dir"),
        (["-", "-f", "srt", "-o", "-"], "only one format fits on stdout; give --output-dir"),
        (["-", "--restart"], "--restart needs an output file (-o)"),
        (["-", "-o", "events.txt"], "-o events.txt: the output manifest ends in .jsonl or .json"),
    ],
)
def test_what_can_not_be(speechkit: Any, arguments: list[object], sentence: str) -> None:
    code = 1 if sentence == "not audio" else 2
    done = speechkit("stream", *arguments, "--engine", "pocketsphinx", code=code)
    assert done.out == b""
    assert sentence in done.err
    assert done.err.count("\n") == 1


def test_an_output_and_the_texts_beside_it(env: dict[str, str], talk: Path, tmp_path: Path) -> None:
    """A finished output says so, gains texts, and refuses other options and other streams."""
    out, texts = tmp_path / "events.jsonl", tmp_path / "texts"
    command = (talk, "-o", out, "--output-dir", texts)
    done = stream(env, *command, "-f", "srt", "-f", "txt", "--summary", tmp_path / "sum")
    assert done.out == b""
    final = kept(records(out))
    words = " ".join(event["text"] for event in final if event["type"] == "final")
    assert (texts / "coffee.txt").read_text() == f"{words}\n"
    summary = json.loads((tmp_path / "sum").read_bytes())
    assert summary["words"] == len(words.split())
    assert summary["finals"] == [event["type"] for event in final].count("final")
    assert summary["exit_code"] == 0
    silence = sum(event["end"] - event["start"] for event in final if event["type"] == "gap")
    assert summary["gaps"] == {"silence": pytest.approx(silence)}
    assert 0 < summary["latency"]["p50"] <= summary["latency"]["p90"] < 2.5
    assert summary["clock"] == "audio"
    events, subtitles = out.read_bytes(), (texts / "coffee.srt").read_text()
    again = stream(env, *command, "-f", "srt", "-f", "vtt")
    assert "complete already, nothing computed" in again.err
    assert out.read_bytes() == events
    assert (texts / "coffee.srt").read_text() == subtitles
    cue = subtitles.replace(",", ".").removeprefix("1\n").strip()
    assert (texts / "coffee.vtt").read_text() == f"WEBVTT\n\n{cue}\n"
    other = stream(env, *command, "--step", 1, code=2)
    assert "finished run with step 0.5, now 1.0; name another output" in other.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(".events.jsonl.run.json", "events.jsonl", "sum", "texts")
    ]
    other = (talk, "-o", tmp_path / "b.jsonl", "--output-dir", texts, "-f", "srt")
    foreign = stream(env, *other, code=2)
    assert "holds the output of another run" in foreign.err


def test_events_on_stdout_and_in_a_folder(env: dict[str, str], talk: Path, tmp_path: Path) -> None:
    """Of a file whose name has two lines."""
    named = tmp_path / "two\nlines.flac"
    named.symlink_to(talk)
    done = stream(env, named, "-o", "-", "--output-dir", tmp_path / "out", "-f", "txt")
    assert kept(records(done.out)) == records(tmp_path / "out" / "stream.jsonl")
    assert "two\\nlines.flac, 13 words" in done.err


def test_a_reader_that_goes_away(env: dict[str, str], pcm: bytes, tmp_path: Path) -> None:
    with Live(tmp_path, env, "-", "--rate", RATE) as live:
        live.stdin.write(pcm)
        assert json.loads(live.stdout.readline())["type"] == "gap"
        live.stdout.close()
        live.stdin.close()
        assert live.end() == Finished(1, b"", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_stream(
    env: dict[str, str], pcm: bytes, number: signal.Signals, tmp_path: Path
) -> None:
    """What was said is out, up to the last word."""
    with Live(tmp_path, env, "-", "--rate", RATE) as live:
        live.stdin.write(pcm[: 2 * 2 * RATE])
        first = live.stdout.readline()
        live.process.send_signal(number)
        done = live.end()
    assert done.code == 0, done.err
    assert f"{number.name}: finishing what was heard" in done.err
    *_, last, end = kept(records(first + done.out))
    assert last["type"] == "final"
    assert end["seconds"] == last["end"] == 2.0


def test_a_signal_leaves_a_stream_with_an_output_to_the_next_run(
    env: dict[str, str], pcm: bytes, tmp_path: Path
) -> None:
    """Which hears what had come already, and then the rest: the events are those of a stream that
    was never cut. In between, nobody else may write them, and other options are refused."""
    folder = tmp_path / "out"
    out, whole = folder / "events.jsonl", tmp_path / "whole.jsonl"
    raw = ("-", "--rate", RATE, "--pace", "max")
    leftover = tmp_path / "whole.jsonl.audio" / f"{0:012}.f32"
    leftover.parent.mkdir()
    leftover.write_bytes(pcm)
    stream(env, *raw, "-o", whole, stdin=pcm)
    assert not leftover.parent.exists()
    assert records(whole)[-1]["seconds"] == 4.765, "the audio of no stream that can be continued"
    with Live(tmp_path, env, *raw, "-o", out) as live:
        live.stdin.write(pcm[:118_001])  # an odd number
        until(lambda: part_of(out).exists() and part_of(out).read_bytes().count(b"\n") > 1)
        second = stream(env, *raw, "-o", out, stdin=pcm, code=2)
        assert "another run is writing this output" in second.err
        live.process.send_signal(signal.SIGTERM)
        done = live.end()
    assert done.code == 75
    assert "stopped by a signal after 3.5 s of audio; run the same command again" in done.err
    assert sorted(path.name for path in folder.iterdir()) == [
        *("events.jsonl.audio", "events.jsonl.part")
    ]
    other = stream(env, *raw, "-o", out, "--pause", 0.5, code=2)
    assert "unfinished run with pause 0.4, now 0.5; finish that one" in other.err
    assert "--restart" in other.err
    again = stream(env, *raw, "-o", out, stdin=pcm[118_000:])
    assert "of it were heard by an earlier run" in again.err
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [
        *(".events.jsonl.run.json", "events.jsonl")
    ]
    another = stream(env, *raw, "-o", out, stdin=pcm, code=2)
    assert "holds a stream that has ended, and stdin is a new one" in another.err
    assert out.read_bytes() == whole.read_bytes()


def test_a_source_that_breaks_off(env: dict[str, str], talk: Path, tmp_path: Path) -> None:
    """What came before is out, and the end says why; so does every further run."""
    broken, out = tmp_path / "broken.flac", tmp_path / "events.jsonl"
    broken.write_bytes(talk.read_bytes()[:75_000])
    for _ in range(2):
        done = stream(env, broken, "-o", out, code=1)
        assert "broken.flac: 4.76 s expected, only 4.10 s there" in done.err
    *final, end = kept(records(out))
    assert [event["type"] for event in final].count("final") > 2
    assert end["error"] in done.err
    assert end["seconds"] == 4.096


def test_a_terminal_shows_a_line_that_rewrites_itself(env: dict[str, str], talk: Path) -> None:
    screen = "".join(_on_terminal(env, "stream", talk, *ENGINE))
    assert re.search(r"\x1b\[2m\d{3} \d+\x1b\[0m\r\x1b\[2K", screen), (
        "a partial, dim and overwritten"
    )
    assert re.search(r"\d{3}( \d{3}){9,}\r\n", screen), "all finals"
    assert "{" not in screen
    assert screen.rstrip().endswith("MB of memory")


def _on_terminal(env: dict[str, str], *arguments: object) -> Iterator[str]:
    """What a process writes on a terminal, stderr as well."""
    process, terminal = pty.fork()
    if not process:
        os.environ.update(env, TERM="xterm", COLUMNS="200")
        os.execv(sys.executable, [sys.executable, "-m", "speechkit", *map(str, arguments)])
    while True:
        try:
            yield os.read(terminal, 1 << 16).decode()
        except OSError:  # it has ended
            break
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
