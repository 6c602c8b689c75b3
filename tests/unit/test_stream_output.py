"""What a stream writes: its journal, its text formats, its line on a terminal, its times."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import speechkit.reports.stream
from runkit import part_of
from speechkit.formats.cues import LAYOUT
from speechkit.io import manifest
from speechkit.io.run_identity import RunIdentity
from speechkit.records import Word
from speechkit.reports.live_line import LiveLine
from speechkit.reports.stream import StreamProgress
from speechkit.serving.stream.events import End, Event, Final, Gap, Partial, from_json, to_json
from speechkit.serving.stream.journal import StreamJournal
from speechkit.serving.stream.live_formats import live_format
from speechkit.serving.stream.times import Times

DOCS = Path(__file__).resolve().parents[2] / "docs" / "stream.md"
IDENTITY = RunIdentity("stream", {"step": 0.5}, "live", 1)
HOSTILE = "\x1b[31mred\x1b]0;title\x07 --> <b>\u202eevil\r\n2"


def final(text: str, start: float, end: float) -> Final:
    """Words of equal length."""
    texts = text.split(" ")
    edges = np.linspace(start, end, len(texts) + 1).round(3).tolist()
    words = tuple(map(Word, texts, edges, edges[1:]))
    return Final(start=start, end=end, emitted=end + 0.5, words=words, language="en")


def gap(start: float, end: float) -> Gap:
    return Gap(start=start, end=end, emitted=end, reason="silence")


SAID: list[Event] = [
    gap(0.0, 1.0),
    final("Good morning.", 1.0, 2.0),
    Partial(start=2.0, end=2.5, emitted=3.0, words=(Word("perhaps", 2.0, 2.5),)),
    final("We begin with the first", 2.0, 3.5),
    final("item of the agenda, which is long enough to fill more than", 3.5, 6.0),
    final("one line and even two of them, so that a cue has to end", 6.0, 9.0),
    final("somewhere.", 9.0, 9.5),
    gap(9.5, 12.0),
    final("Yes.", 12.0, 12.3),
    End(seconds=12.3, emitted=12.3),
]


def test_the_docs_name_every_key_of_an_event() -> None:
    named = set(re.findall(r"`(\w+)`", DOCS.read_text()))
    word = Word("a", 0.0, 1.0, 0.5, spaced=False)
    events = [
        *SAID,
        replace(final("a", 0.0, 1.0), words=(word,), flags=("doubtful",)),
        End(seconds=1.0, emitted=1.0, error="broke off"),
    ]
    keys = {key for event in events for key in to_json(event)}
    assert keys | {"word", "confidence"} <= named
    assert '"spaced": false' in DOCS.read_text()
    assert manifest.dump(to_json(events[-2])).endswith(
        '"spaced": false}], "lang": "en", "flags": ["doubtful"]}'
    )


def test_events_and_their_json() -> None:
    chinese = Final(
        start=0.0,
        end=0.5,
        emitted=1.0,
        words=(Word("你", 0.0, 0.2, 0.9), Word("好", 0.2, 0.5, 0.8, spaced=False)),
        flags=("doubtful",),
    )
    assert chinese.text == "你好"
    for event in [*SAID, chinese, End(seconds=1.0, emitted=1.0, error="broke off")]:
        record = json.loads(json.dumps(to_json(event)))
        assert next(iter(record)) == "type"
        if not isinstance(event, Partial):
            assert from_json(record) == event


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "partial"),
        ("type", []),
        ("start", "1"),
        ("end", -1.0),
        ("emitted", None),
        ("words", [{"word": 1, "start": 0.0, "end": 1.0}]),
        ("words", [["a"]]),
        ("words", 1),
        ("flags", [1]),
        ("lang", 1),
        ("other", 1),
    ],
)
def test_what_is_no_event_is_refused(key: str, value: object) -> None:
    record = {**to_json(SAID[1]), key: value}
    with pytest.raises((ValueError, TypeError, LookupError)):
        from_json(record)


def _append(journal: StreamJournal, number: int) -> None:
    said = [to_json(final(f"word{number}", number, number + 1))] * (1 + number % 2)
    journal.append(said, {"heard": number})


def test_a_journal_cut_at_each_byte_of_its_last_lines(tmp_path: Path) -> None:
    """It goes on from the last line that is whole, and ends as one that was never cut."""
    out = tmp_path / "out.jsonl"
    with StreamJournal(out, IDENTITY) as journal:
        for number in range(5):
            _append(journal, number)
        journal.append([to_json(SAID[-1])], {"heard": 5})
        whole = list(journal.events())
    part = part_of(out).read_bytes()
    ends = [at + 1 for at, byte in enumerate(part) if byte == ord("\n")]
    for length in range(ends[-3], len(part) + 1):
        part_of(out).write_bytes(part[:length])
        with StreamJournal(out, IDENTITY) as journal:
            there = sum(length >= end for end in ends) - 1
            assert journal.state == {"heard": there - 1}
            assert journal.has_ended == (there == 6)
            for number in range(there, 5):
                _append(journal, number)
            if not journal.has_ended:
                journal.append([to_json(SAID[-1])], {"heard": 5})
            assert list(journal.events()) == whole


def test_a_journal_that_was_spoilt_goes_on_before_that(tmp_path: Path, seed: int) -> None:
    out, rng = tmp_path / "out.jsonl", random.Random(seed)
    with StreamJournal(out, IDENTITY) as journal:
        for number in range(5):
            _append(journal, number)
    part = part_of(out).read_bytes()
    ends = [at + 1 for at, byte in enumerate(part) if byte == ord("\n")]
    for _ in range(50):
        at = rng.randrange(ends[0], len(part))
        part_of(out).write_bytes(
            part[:at] + bytes([part[at] ^ 1 << rng.randrange(8)]) + part[at + 1 :]
        )
        with StreamJournal(out, IDENTITY) as journal:
            before = sum(at >= end for end in ends) - 1
            assert journal.state == ({"heard": before - 1} if before else None)
            assert part_of(out).read_bytes() == part[: ends[before]]


def written(name: str, events: list[Event]) -> str:
    form = live_format(name, LAYOUT)
    return "".join(form.add(event) for event in events)


def test_text_is_written_as_it_becomes_final() -> None:
    form = live_format("txt", LAYOUT)
    assert [form.add(event) for event in SAID[:4]] == [
        "",
        "Good morning.",
        "",
        "\nWe begin with the first",
    ]
    *_, last, empty = written("txt", SAID).split("\n")
    assert (last, empty) == ("Yes.", "")


def test_a_cue_is_written_once_when_nothing_can_be_added_to_it() -> None:
    form = live_format("srt", LAYOUT)
    added = [form.add(event) for event in SAID]
    assert added[:3] == ["", "", ""]
    assert added[3] == "1\n00:00:01,000 --> 00:00:02,000\nGood morning.\n\n"
    assert added[-1].endswith("--> 00:00:12,300\nYes.\n\n")
    cues = re.findall(r"(\d+)\n(\S+) --> (\S+)\n((?:.+\n)+)\n", "".join(added))
    assert [int(number) for number, *_ in cues] == [*range(1, len(cues) + 1)]
    assert "".join("".join(added).split("\n\n")[-1:]) == ""
    for (_, start, end, _), (_, following, *_) in pairwise(cues):
        assert start < end <= following
    for *_, text in cues:
        lines = text.splitlines()
        assert len(lines) <= 2
        assert all(len(line) <= 42 for line in lines)
    spoken = " ".join(event.text for event in SAID if isinstance(event, Final))
    assert " ".join(" ".join(text.split()) for *_, text in cues) == spoken
    vtt = written("vtt", SAID)
    assert vtt.startswith("WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nGood morning.\n\n")
    assert vtt.count("-->") == len(cues)


@pytest.mark.parametrize("name", ["jsonl", "srt", "txt", "vtt"])
def test_no_text_leads_a_format_astray(name: str) -> None:
    events: list[Event] = [final(HOSTILE, 0.0, 3.0), gap(3.0, 4.0), End(seconds=4.0, emitted=4.0)]
    text = written(name, events)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    if name == "jsonl":
        assert [json.loads(line)["type"] for line in text.splitlines()] == ["final", "gap", "end"]
    elif name == "txt":
        assert text.count("\n") == 1
    else:
        assert text.count("-->") == 1
        assert name == "srt" or "&lt;b&gt;" in text


def test_a_terminal_obeys_no_text() -> None:
    raw = io.BytesIO()
    with LiveLine(raw) as line:
        words = tuple(Word(word, 0.0, 1.0) for word in HOSTILE.split(" "))
        line.write(Partial(start=0.0, end=1.0, emitted=1.0, words=words))
        line.write(final(f"{HOSTILE} 日本語", 0.0, 1.0))
        line.say("fell behind")
    shown = raw.getvalue().decode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert "red" in shown
    assert "日本語" in shown


def test_progress_is_told_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    progress = StreamProgress(3600.0)
    progress.write(SAID[1])
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(speechkit.reports.stream, "PLAIN_SECONDS", 0.0)
    progress.write(final("late", 300.0, 301.0))
    progress.write(End(seconds=301.0, emitted=301.0))
    assert capfd.readouterr().err == "stream: 5:01 of 1:00:00 heard\n"


def test_quantiles_of_times(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times, seconds = Times(), rng.gamma(2.0, 0.7, 5000)
    assert times.to_json() == {"p50": None, "p90": None, "most": None}
    for one in seconds:
        times.add(one)
    assert times.count == 5000
    for share, name in ((0.5, "p50"), (0.9, "p90"), (1.0, "most")):
        expected = np.quantile(seconds, share, method="inverted_cdf")
        assert times.to_json()[name] == pytest.approx(expected, abs=0.0051)
