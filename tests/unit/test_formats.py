"""Every format is read back with a parser that is not ours."""

from __future__ import annotations

import csv
import html
import io
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import srt
import textgrid
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from pyannote.core import Annotation
from pyannote.core import Segment as PyannoteSegment

from audiokit import ffmpeg
from speechkit.errors import UsageError
from speechkit.formats import formats_of
from speechkit.formats.cues import A_SEGMENT_A_CUE
from speechkit.records import Recording, Segment, Word

ASR_FORMATS = formats_of("asr")
VAD_FORMATS = formats_of("vad")

TALK = Recording(
    "monday/talk",
    10.0,
    (
        Segment(
            0.5,
            2.25,
            "hello world",
            (Word("hello", 0.5, 1.0, 0.9), Word("world", 1.1, 2.25, 0.75)),
        ),
        Segment(3.0, 4.125, "مرحبا 🎧", (Word("مرحبا", 3.0, 3.5, 1.0), Word("🎧", 3.5, 4.125))),
    ),
)
SILENCE = Recording("monday/silence", 4.0)
REPLY = Recording("tuesday reply", 5.5, (Segment(1.0, 2.0, "yes", (Word("yes", 1.0, 2.0, 0.5),)),))

TRAPS = [
    *(
        "-->",
        "00:00:01,000 --> 00:00:02,000",
        "WEBVTT",
        "NOTE",
        "7",
        "<b>",
        "&amp;",
        '"',
        '""',
        ",",
    ),
    *("\n\n", "\r", "\t", "\0", "\x85", "\u2028", "\ud800", "\ufeff", "🎧", "مرحبا"),
]
WILD_TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=30),
    st.lists(st.sampled_from(TRAPS), max_size=8).map(" ".join),
)
WILD_TIME = st.floats(-5, 40, allow_nan=False)


@st.composite
def wild_recordings(draw: st.DrawFn, name: str = "talk") -> Recording:
    """Segments and words in order of time, but overlapping, inverted, empty or outside."""
    spans = sorted(
        draw(st.lists(st.tuples(WILD_TIME, WILD_TIME, WILD_TEXT), max_size=6)), key=lambda s: s[0]
    )
    segments = tuple(
        Segment(start, end, text, (Word(text, start, end, draw(st.none() | st.floats(0, 1))),))
        for start, end, text in spans
    )
    return Recording(name, draw(st.floats(0, 30)), segments)


def wild_pair() -> st.SearchStrategy[list[Recording]]:
    return st.tuples(wild_recordings("one"), wild_recordings("two")).map(list)


def flat(text: str | None) -> str:
    """The text as the formats keep it, computed character by character."""
    kept = "".join(
        " " if c.isspace() or ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text or ""
    )
    kept = "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in kept)
    return " ".join(part for part in kept.split(" ") if part)


def said(*recordings: Recording) -> list[str]:
    return [flat(s.text) for r in recordings for s in r.segments if flat(s.text)]


# Text


def test_txt_of_one_recording_has_a_segment_a_line() -> None:
    assert ASR_FORMATS["txt"].render([TALK]) == "hello world\nمرحبا 🎧\n"


def test_txt_of_several_names_every_recording_even_a_silent_one() -> None:
    assert ASR_FORMATS["txt"].render([TALK, SILENCE, REPLY]) == (
        "monday/talk\thello world مرحبا 🎧\nmonday/silence\t\ntuesday reply\tyes\n"
    )


@given(wild_recordings())
def test_txt_keeps_any_text_a_segment_a_line(recording: Recording) -> None:
    text = ASR_FORMATS["txt"].render([recording])
    assert text.encode("utf-8").decode().splitlines() == said(recording)


@given(wild_pair())
def test_txt_of_several_is_a_table_of_names_and_texts(pair: list[Recording]) -> None:
    rows = [line.split("\t") for line in ASR_FORMATS["txt"].render(pair).splitlines()]
    assert rows == [[recording.name, " ".join(said(recording))] for recording in pair]


# Subtitles, of which test_subtitles.py looks at the layout

PLAIN = formats_of("asr", A_SEGMENT_A_CUE)


def seconds(cue: srt.Subtitle) -> tuple[float, float]:
    return cue.start.total_seconds(), cue.end.total_seconds()


def test_srt_and_vtt_hold_times_and_text() -> None:
    cues = list(srt.parse(ASR_FORMATS["srt"].render([TALK])))
    assert [(*seconds(c), c.content) for c in cues] == [
        (0.5, 2.25, "hello world"),
        (3.0, 4.125, "مرحبا 🎧"),
    ]
    captions = webvtt.from_string(ASR_FORMATS["vtt"].render([TALK]))
    assert [(c.start, c.end, c.text) for c in captions] == [
        ("00:00:00.500", "00:00:02.250", "hello world"),
        ("00:00:03.000", "00:00:04.125", "مرحبا 🎧"),
    ]


def test_subtitles_of_several_lie_one_after_the_other() -> None:
    cues = list(srt.parse(ASR_FORMATS["srt"].render([TALK, SILENCE, REPLY])))
    assert [seconds(c) for c in cues] == [(0.5, 2.25), (3.0, 4.125), (15.0, 16.0)]
    assert [c.index for c in cues] == [1, 2, 3]
    vtt = ASR_FORMATS["vtt"].render([TALK, SILENCE, REPLY])
    assert [c.start for c in webvtt.from_string(vtt)][2] == "00:00:15.000"
    assert re.findall("^NOTE (.*)$", vtt, re.M) == [
        "monday/talk",
        "monday/silence",
        "tuesday reply",
    ]


def test_the_common_time_line_does_not_drift() -> None:
    recordings = [Recording(f"{i}", 1.0004, (Segment(0.0, 1.0, "a"),)) for i in range(5000)]
    *_, last = srt.parse(ASR_FORMATS["srt"].render(recordings))
    assert last.start.total_seconds() == pytest.approx(4999 * 1.0004, abs=0.001)


def test_subtitles_go_beyond_99_hours() -> None:
    week = Recording("week", 7 * 86400.0, (Segment(500_000.0, 500_001.5, "late"),))
    (cue,) = srt.parse(ASR_FORMATS["srt"].render([week]))
    assert seconds(cue) == (500_000.0, 500_001.5)
    (caption,) = webvtt.from_string(ASR_FORMATS["vtt"].render([week]))
    assert caption.start == "138:53:20.000"


def test_a_cue_of_no_length_still_lasts_a_millisecond() -> None:
    late = Recording("late", 3.0, (Segment(5.0, 6.0, "after the end"),))
    (cue,) = srt.parse(ASR_FORMATS["srt"].render([late]))
    assert seconds(cue) == (3.0, 3.001)


@given(st.one_of(wild_recordings().map(lambda r: [r]), wild_pair()))
def test_srt_survives_any_text_and_time(recordings: list[Recording]) -> None:
    cues = list(srt.parse(PLAIN["srt"].render(recordings)))
    assert [c.content for c in cues] == [re.sub("--+>", "->", t) for t in said(*recordings)]
    total = sum(recording.duration for recording in recordings)
    for cue in cues:
        assert 0 <= cue.start.total_seconds() < cue.end.total_seconds() <= total + 0.002


@given(st.one_of(wild_recordings().map(lambda r: [r]), wild_pair()))
def test_vtt_survives_any_text_and_time(recordings: list[Recording]) -> None:
    text = PLAIN["vtt"].render(recordings)
    captions = list(webvtt.from_string(text))
    assert [html.unescape(c.raw_text) for c in captions] == said(*recordings)
    assert all(not re.search("[<>]|&(?!amp;|lt;|gt;)", c.raw_text) for c in captions)
    assert text.count("-->") == len(captions)
    for caption in captions:
        assert 0 <= caption.start_in_seconds <= caption.end_in_seconds
        assert caption.start < caption.end


ODD_TEXTS = [
    *("42", "a --> b", "00:00:01,000 --> 00:00:02,000", "R&D <i>now</i>", "one\n\ntwo"),
    *("WEBVTT", "NOTE this", "مرحبا بالعالم", "🎧 go", '"quoted"'),
]
ODD_CUES = Recording(
    "odd", 60.0, tuple(Segment(float(i), i + 0.9, text) for i, text in enumerate(ODD_TEXTS))
)


@pytest.mark.parametrize(("name", "demuxer"), [("srt", "srt"), ("vtt", "webvtt")])
def test_ffmpeg_reads_every_cue(name: str, demuxer: str) -> None:
    text = PLAIN[name].render([ODD_CUES, TALK])
    read = ["-f", demuxer, "-i", "-", "-f", "srt", "-"]
    cues = list(srt.parse(ffmpeg(*read, stdin=text.encode(), level="warning").decode()))
    assert [c.start.total_seconds() for c in cues] == [*map(float, range(10)), 60.5, 63.0]
    assert cues[0].content == "42"
    assert [c.content for c in cues[4:9]] == [
        "one two",
        "WEBVTT",
        "NOTE this",
        "مرحبا بالعالم",
        "🎧 go",
    ]


# Tables


def test_tsv_of_one_is_whispers_and_of_several_has_the_recording_first() -> None:
    assert ASR_FORMATS["tsv"].render([TALK]).splitlines() == [
        "start\tend\ttext",
        "500\t2250\thello world",
        "3000\t4125\tمرحبا 🎧",
    ]
    assert ASR_FORMATS["tsv"].render([SILENCE, REPLY]).splitlines() == [
        "recording\tstart\tend\ttext",
        "tuesday reply\t1000\t2000\tyes",
    ]


@given(wild_recordings())
def test_tsv_survives_any_text(recording: Recording) -> None:
    lines = io.StringIO(ASR_FORMATS["tsv"].render([recording]), newline="")
    header, *rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header == ["start", "end", "text"]
    assert [text for _, _, text in rows] == said(recording)
    for start, end, _ in rows:
        assert 0 <= int(start) <= int(end) <= recording.duration * 1000 + 0.5


def test_csv_rows_carry_their_recording() -> None:
    comma = Recording('a "b", c', 9.0, (Segment(0.1, 0.25),))
    rows = list(csv.DictReader(io.StringIO(VAD_FORMATS["csv"].render([TALK, SILENCE, comma]))))
    assert rows == [
        {"recording": "monday/talk", "start": "0.500", "end": "2.250"},
        {"recording": "monday/talk", "start": "3.000", "end": "4.125"},
        {"recording": 'a "b", c', "start": "0.100", "end": "0.250"},
    ]


def test_audacity_labels_of_one_and_of_several() -> None:
    assert VAD_FORMATS["audacity"].render([TALK]).splitlines() == [
        "0.500\t2.250\tspeech",
        "3.000\t4.125\tspeech",
    ]
    assert VAD_FORMATS["audacity"].render([SILENCE, REPLY]) == "5.000\t6.000\ttuesday reply\n"


@given(wild_recordings(), st.sampled_from(["csv", "audacity", "rttm"]))
def test_vad_formats_hold_the_speech_inside_the_recording(recording: Recording, name: str) -> None:
    def clipped(seconds: float) -> int:
        return round(round(min(max(seconds, 0), recording.duration), 3) * 1000)

    expected = [(clipped(s.start), clipped(s.end)) for s in recording.segments]
    text = VAD_FORMATS[name].render([recording])
    if name == "csv":
        times = [row[1:] for row in list(csv.reader(io.StringIO(text)))[1:]]
    elif name == "audacity":
        times = [line.split("\t")[:2] for line in text.splitlines()]
    else:
        onsets = [line.split()[3:5] for line in text.splitlines()]
        times = [[onset, str(float(onset) + float(length))] for onset, length in onsets]
    assert [(round(float(a) * 1000), round(float(b) * 1000)) for a, b in times] == [
        (start, end) for start, end in expected if end > start
    ]


# NIST


def read_rttm(text: str) -> dict[str, Annotation]:
    """Ten space-separated fields a line, as the RT-09 evaluation plan has them."""
    annotations: dict[str, Annotation] = {}
    for number, line in enumerate(text.splitlines()):
        kind, uri, channel, onset, length, na1, na2, speaker, na3, na4 = line.split(" ")
        assert (kind, channel, {na1, na2, na3, na4}) == ("SPEAKER", "1", {"<NA>"})
        span = PyannoteSegment(float(onset), float(onset) + float(length))
        annotations.setdefault(uri, Annotation(uri=uri))[span, number] = speaker
    return annotations


def test_rttm_loads_into_pyannote() -> None:
    annotations = read_rttm(VAD_FORMATS["rttm"].render([TALK, SILENCE, REPLY]))
    assert set(annotations) == {"monday/talk", "tuesday_reply"}
    talk = annotations["monday/talk"]
    assert talk.labels() == ["speech"]
    assert talk.label_duration("speech") == pytest.approx(1.75 + 1.125)
    assert [(s.start, s.end) for s in talk.itersegments()] == [(0.5, 2.25), (3.0, 4.125)]


CTM_ROW = re.compile(r"(\S+) 1 (\d+\.\d{3}) (\d+\.\d{3}) (\S+)(?: ([01]\.\d{3}))?")


def test_ctm_has_a_row_a_word_sorted_by_file() -> None:
    lines = ASR_FORMATS["ctm"].render([REPLY, SILENCE, TALK]).splitlines()
    rows = [match.groups() for line in lines if (match := CTM_ROW.fullmatch(line))]
    assert len(rows) == len(lines)
    assert rows == [
        ("monday/talk", "0.500", "0.500", "hello", "0.900"),
        ("monday/talk", "1.100", "1.150", "world", "0.750"),
        ("monday/talk", "3.000", "0.500", "مرحبا", "1.000"),
        ("monday/talk", "3.500", "0.625", "🎧", None),
        ("tuesday_reply", "1.000", "1.000", "yes", "0.500"),
    ]


def test_ctm_refuses_to_make_up_word_times() -> None:
    with pytest.raises(UsageError, match=r"talk has no word times from 1\.000 to 2\.000 s"):
        ASR_FORMATS["ctm"].render([Recording("talk", 3.0, (Segment(1.0, 2.0, "a b"),))])


@given(wild_pair())
def test_ctm_survives_any_word_and_time(pair: list[Recording]) -> None:
    text = ASR_FORMATS["ctm"].render(pair)
    rows = [match.groups() for line in text.splitlines() if (match := CTM_ROW.fullmatch(line))]
    assert len(rows) == text.count("\n")
    assert sorted(row[3] for row in rows) == sorted(t.replace(" ", "_") for t in said(*pair))
    keys = [(row[0], float(row[1])) for row in rows]
    assert keys == sorted(keys)


@pytest.mark.parametrize("render", [VAD_FORMATS["rttm"].render, ASR_FORMATS["ctm"].render])
def test_two_names_never_become_one(render: Callable[[Sequence[Recording]], str]) -> None:
    twins = [Recording("a b", 1.0), Recording("a_b", 1.0)]
    with pytest.raises(UsageError, match="'a b' and 'a_b' are both named 'a_b'"):
        render(twins)


# TextGrid


def read_textgrid(text: str, folder: Path) -> textgrid.TextGrid:
    path = folder / "out.TextGrid"
    path.write_text(text, encoding="utf-8")
    return textgrid.TextGrid.fromFile(str(path))


def labels(tier: textgrid.IntervalTier) -> list[tuple[float, float, str]]:
    return [(float(i.minTime), float(i.maxTime), i.mark) for i in tier]


def assert_covers(tier: textgrid.IntervalTier, end: float) -> None:
    """No gap and no overlap from 0 to the end, and no interval without length."""
    edges = [float(i.minTime) for i in tier] + [float(tier[-1].maxTime)]
    assert edges == sorted(set(edges))
    assert (edges[0], edges[-1]) == (0.0, end)
    assert all(a.maxTime == b.minTime for a, b in zip(tier, list(tier)[1:], strict=False))


def test_textgrid_of_one_has_segments_and_words(tmp_path: Path) -> None:
    grid = read_textgrid(ASR_FORMATS["textgrid"].render([TALK]), tmp_path)
    assert [tier.name for tier in grid] == ["segments", "words"]
    assert labels(grid[0]) == [
        (0.0, 0.5, ""),
        (0.5, 2.25, "hello world"),
        (2.25, 3.0, ""),
        (3.0, 4.125, "مرحبا 🎧"),
        (4.125, 10.0, ""),
    ]
    assert [mark for *_, mark in labels(grid[1]) if mark] == ["hello", "world", "مرحبا", "🎧"]


def test_textgrid_of_several_has_tiers_of_one_length(tmp_path: Path) -> None:
    grid = read_textgrid(ASR_FORMATS["textgrid"].render([TALK, SILENCE, REPLY]), tmp_path)
    assert [tier.name for tier in grid] == [
        "monday/talk",
        "monday/talk words",
        "monday/silence",
        "tuesday reply",
        "tuesday reply words",
    ]
    for tier in grid:
        assert_covers(tier, 10.0)


def test_textgrid_clips_overlaps_and_keeps_the_text(tmp_path: Path) -> None:
    spans = [(0.0, 4.0, "a"), (1.0, 2.0, "inside"), (3.0, 6.0, "b"), (9.0, 9.0, "end")]
    overlapping = Recording("talk", 9.0, tuple(Segment(*span) for span in spans))
    grid = read_textgrid(ASR_FORMATS["textgrid"].render([overlapping]), tmp_path)
    assert labels(grid[0]) == [
        (0.0, 4.0, "a inside"),
        (4.0, 6.0, "b"),
        (6.0, 8.999, ""),
        (8.999, 9.0, "end"),
    ]


@given(wild_pair())
def test_textgrid_survives_any_text_and_time(
    tmp_path_factory: pytest.TempPathFactory, pair: list[Recording]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    grid = read_textgrid(ASR_FORMATS["textgrid"].render(pair), folder)
    end = float(grid.maxTime)
    assert end == max(0.001, *(round(recording.duration, 3) for recording in pair))
    tiers = {tier.name: tier for tier in grid}
    for recording in pair:
        assert_covers(tiers[recording.name], end)
        marks = [mark for *_, mark in labels(tiers[recording.name]) if mark]
        assert " ".join(marks) == " ".join(said(recording))


# All


EMPTY_FILES = {
    "txt": "",
    "srt": "",
    "vtt": "WEBVTT\n",
    "tsv": "start\tend\ttext\n",
    "ctm": "",
    "rttm": "",
    "audacity": "",
    "csv": "recording,start,end\n",
}


@pytest.mark.parametrize("name", EMPTY_FILES)
@pytest.mark.parametrize("recording", [SILENCE, Recording("empty", 0.0)])
def test_silence_gives_a_file_without_rows(name: str, recording: Recording) -> None:
    assert (ASR_FORMATS | VAD_FORMATS)[name].render([recording]) == EMPTY_FILES[name]


def test_a_textgrid_of_silence_has_one_empty_interval(tmp_path: Path) -> None:
    grid = read_textgrid(ASR_FORMATS["textgrid"].render([SILENCE]), tmp_path)
    assert [labels(tier) for tier in grid] == [[(0.0, 4.0, "")]]


def test_formats_load_no_numpy() -> None:
    check = "import sys, speechkit.formats; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
