"""Word and character error rates, their intervals, and how they are shown."""

import io
import json
import random
import subprocess
import sys
import weakref
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from speechkit.errors import UsageError
from speechkit.reports.score import render
from speechkit.scoring import confidence_interval
from speechkit.scoring.alignment import Pair, blocks
from speechkit.scoring.normalise import normaliser
from speechkit.scoring.score import ScoreOptions, score

NONE = ScoreOptions(normaliser="none")


def record(reference, hypothesis, **keys):
    return {"audio_filepath": "/a.wav", "text": reference, "pred_text": hypothesis, **keys}


def distance(reference, hypothesis):
    """Levenshtein's, by the textbook."""
    row = list(range(len(hypothesis) + 1))
    for i, left in enumerate(reference, 1):
        above, row[0] = row[0], i
        for j, right in enumerate(hypothesis, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
    return row[-1]


def printed(result, width=80):
    file = io.StringIO()
    Console(file=file, width=width).print(render(result))
    return file.getvalue()


def test_rates_are_those_computed_by_hand():
    one = record("the cat sat on the mats", "the hat sat the mats now")
    words = score([one], NONE).total.words
    assert (words.hits, words.substitutions, words.deletions, words.insertions) == (4, 1, 1, 1)
    assert words.rate == 3 / 6
    chars = score([record("abc d", "xbc")], NONE).total.chars
    assert (chars.hits, chars.substitutions, chars.deletions, chars.insertions) == (2, 1, 2, 0)
    assert chars.rate == 3 / 5


def test_errors_are_summed_before_dividing():
    total = score([record("a", "b"), record("a b c d e f g h i", "a b c d e f g h i")], NONE).total
    assert total.words.rate == 1 / 10


def test_none_splits_at_any_white_space_and_changes_nothing_else():
    total = score([record("A\tb\n c\u3000d", " A b  c d ")], NONE).total
    assert total.words.errors == 0
    assert score([record("A", "a")], NONE).total.words.rate == 1
    assert score([record("a", "a ")], NONE).total.chars.insertions == 1


TEXTS = st.lists(st.text("ab \t", max_size=12), min_size=1, max_size=8)


@given(st.data(), TEXTS)
def test_counts_agree_with_the_textbook_and_with_nemos_formula(data, references):
    size = len(references)
    hypotheses = data.draw(st.lists(st.text("ab \t", max_size=12), min_size=size, max_size=size))
    total = score(map(record, references, hypotheses), NONE).total
    for counts, split in ((total.words, str.split), (total.chars, list)):
        sides = [(split(r), split(h)) for r, h in zip(references, hypotheses, strict=True)]
        errors, length = sum(distance(r, h) for r, h in sides), sum(len(r) for r, _ in sides)
        assert (counts.errors, counts.reference) == (errors, length)
        assert counts.hits + counts.substitutions + counts.insertions == sum(
            len(h) for _, h in sides
        )
        assert counts.rate == (errors / length if length else None)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("basic", "Hello, [noise] World!  it's", "hello world it s"),
        ("basic", "Ça où", "ça où"),
        ("unicode", "Hello, [noise] World!  it’s", "hello world it's"),
        ("unicode", "नमस्ते, दुनिया।", "नमस्ते दुनिया"),
        ("english", "We're twenty-one, colour!", "we are 21 color"),
        ("none", " As it Is. ", " As it Is. "),
    ],
)
def test_normalisers(name, text, expected):
    assert normaliser(name)(text) == expected


def test_basic_cuts_words_at_combining_marks_and_the_default_does_not():
    records = [record("मेरा नाम राम है", "मेरी नाम राम है")]
    assert score(records).total.words.rate == 1 / 4
    basic = score(records, ScoreOptions("basic")).total.words
    assert (basic.reference, basic.errors) == (7, 0)


def test_unknown_normaliser_is_refused_with_the_choice():
    with pytest.raises(UsageError, match=r"'fancy'.*unicode, basic, english, none"):
        score([record("a", "a")], ScoreOptions("fancy"))


def test_failed_utterances_count_as_deletions():
    error = {"type": "WorkerDied", "message": "killed"}
    failed = {"audio_filepath": "/b.wav", "text": "c d", "error": error}
    half_done = record("e f", "e f", error=error)
    total = score([record("a b", "a b"), failed, half_done], NONE).total
    assert (total.utterances, total.failed) == (3, 2)
    assert total.words.deletions == 4
    assert total.words.rate == 4 / 6


def test_records_without_reference_are_named_and_not_scored():
    silent = [{"audio_filepath": f"/{i}.wav", "pred_text": "x"} for i in range(30)]
    result = score([*silent, record("a", "a"), {"id": "u", "text": None, "offset": 2.0}], NONE)
    assert (result.total.utterances, result.without_reference) == (1, 31)
    assert result.without_reference_names == tuple(f"/{i}.wav" for i in range(20))
    assert "31 records not scored" in printed(result)


def test_doubts_are_counted_and_named():
    gaps = [{"start": 1.0, "end": 2.5}, {"start": 4.0, "end": 5.0}]
    records = [
        record("a", "a", id="sure"),
        record("a b", "a", id="lost", flags=["doubtful", "low_coverage"], gaps=gaps),
        record("a", "b", id="unsure", flags=["doubtful"]),
        record("a", "a", id="none", flags=[], gaps=[]),
        {"id": "unscored", "pred_text": "a", "flags": ["hallucination"]},
    ]
    result = score(records)
    assert result.to_json()["doubts"] == {
        "utterances": 2,
        "flags": {"doubtful": 2, "low_coverage": 1},
        "gap_seconds": 2.5,
        "first": ["lost", "unsure"],
    }
    line = "flagged: 2 doubtful, 1 low_coverage, 2.5 s of speech without words: lost, unsure\n"
    assert line in printed(result, width=200)
    assert "flagged" not in printed(score(records[:1]))


@pytest.mark.parametrize("keys", [{"flags": 7}, {"flags": "none"}, {"gaps": 3}])
def test_keys_of_the_same_name_that_are_anothers(keys):
    result = score([record("a", "a", **keys)])
    assert (result.doubts.flags, result.doubts.gap_seconds) == ({}, 0)


@pytest.mark.parametrize(
    "gaps",
    [
        None,
        3,
        ["a"],
        [{"start": 1.0}],
        [{"start": "a", "end": "b"}],
        [{"start": 0.5, "end": 10**400}],
    ],
)
def test_gaps_that_tell_no_seconds(gaps):
    result = score([record("a", "a", flags=["low_coverage"], gaps=gaps)])
    assert (result.doubts.flags, result.doubts.gap_seconds) == ({"low_coverage": 1}, 0)


def test_of_many_doubtful_utterances_some_are_named():
    result = score(record("a", "a", id=f"u{i}", flags=["doubtful"]) for i in range(30))
    assert (result.doubts.utterances, len(result.doubts.names)) == (30, 20)
    assert "flagged: 30 doubtful: u0, u1, " in printed(result, width=200)
    assert ", u19, …\n" in printed(result, width=200)


def test_empty_references_are_counted_apart_and_their_insertions_in_the_whole():
    result = score([record("", "thank you"), record(" ?! ", ""), record("a b", "a b")])
    assert (result.empty_references.utterances, result.empty_references.inserted_words) == (2, 2)
    assert result.empty_references.inserted_chars == len("thank you")
    assert result.total.words.rate == 2 / 2
    assert "2 empty references; 2 words heard there" in printed(result)


def test_empty_references_alone_have_no_rate():
    result = score([record("", "a"), record("", "")])
    assert result.total.words.rate is None
    assert result.total.wer_interval is None
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["wer"] is None
    assert "WER     -" in printed(result)


def test_a_record_never_transcribed_is_refused_by_name():
    records = [record("a", "a"), {"audio_filepath": "/b.wav", "offset": 1.5, "text": "b"}]
    with pytest.raises(UsageError, match=r"record 2 \(/b.wav at 1.50 s\).*speechkit asr"):
        score(records)
    with pytest.raises(UsageError, match=r"record 1 .*never transcribed"):
        score([record("a", None)])


def test_nothing_to_score_is_refused():
    with pytest.raises(UsageError, match="no records"):
        score([])
    with pytest.raises(UsageError, match=r"2 records, none with a reference.*speechkit manifest"):
        score([{"pred_text": "a"}, {"pred_text": "b"}])


def test_breakdown_by_plain_and_dotted_keys():
    records = [
        record("a", "a", speaker={"id": "x", "age": 30}),
        record("b", "c", speaker={"id": "y", "age": 30}),
        record("d", "", speaker="unknown"),
        record("e", "e", **{"speaker.id": "x"}),
    ]
    result = score(records, ScoreOptions("none", by="speaker.id"))
    assert {name: group.words.errors for name, group in result.groups.items()} == {
        "(none)": 1,
        "x": 0,
        "y": 1,
    }
    assert result.groups["x"].utterances == 2
    assert list(score(records, ScoreOptions("none", by="speaker.age")).groups) == ["(none)", "30"]


def test_groups_add_up_to_the_whole():
    result = score(generated(200), ScoreOptions("none", by="speaker"))
    assert len(result.groups) == 7
    for kind in ("words", "chars"):
        counts = [getattr(group, kind) for group in result.groups.values()]
        assert sum(counts[1:], counts[0]) == getattr(result.total, kind)


def generated(size, seed=1):
    rng = random.Random(seed)
    for i in range(size):
        words = [rng.choice("abcdefgh") * rng.randint(1, 5) for _ in range(rng.randint(2, 12))]
        heard = [rng.choice("abcdefgh") if rng.random() < 0.2 else word for word in words]
        yield record(" ".join(words), " ".join(heard), id=f"u{i}", speaker=f"s{i % 7}")


def test_interval_matches_resampling_utterance_by_utterance():
    errors, lengths = np.random.default_rng(5).integers(0, (4, 30), (300, 2)).T
    drawn = np.random.default_rng(6).integers(0, 300, (20_000, 300))
    rates = errors[drawn].sum(1) / lengths[drawn].sum(1)
    expected = np.quantile(rates, [0.025, 0.975])
    tally = Counter(zip(errors.tolist(), lengths.tolist(), strict=True))
    assert confidence_interval.interval(tally) == pytest.approx(expected, rel=0.02)


def test_interval_holds_the_rate_and_ignores_the_order():
    records = list(generated(300))
    total = score(records, NONE).total
    assert total.wer_interval[0] < total.words.rate < total.wer_interval[1]
    assert total.cer_interval[0] < total.chars.rate < total.cer_interval[1]
    shuffled = score(reversed(records), NONE).total
    assert (shuffled.wer_interval, shuffled.cer_interval) == (
        total.wer_interval,
        total.cer_interval,
    )


def test_interval_of_many_distinct_pairs_is_drawn_in_parts(monkeypatch):
    tally = Counter({(i % 11, i): 1 for i in range(1, 400)})
    whole = confidence_interval.interval(tally)
    monkeypatch.setattr(confidence_interval, "_CELLS", 4000)
    assert confidence_interval.interval(tally) == whole


def test_interval_where_there_is_nothing_to_draw():
    assert confidence_interval.interval(Counter({(1, 5): 1})) is None
    assert confidence_interval.interval(Counter({(1, 0): 5})) is None
    assert confidence_interval.interval(Counter({(1, 4): 10})) == (0.25, 0.25)
    low, high = confidence_interval.interval(Counter({(0, 0): 5, (1, 2): 1}))
    assert (low, high) == (0.5, 0.5)


def test_worst_are_ranked_by_rate_then_errors_then_order():
    records = [
        record("a b c d", "a b c x", id="quarter"),
        record("a b", "x y", id="whole, two"),
        record("a", "x", id="whole, one, first"),
        record("a", "y", id="whole, one, second"),
        record("a", "a", id="perfect"),
        record("a b c", "", id="failed", error={"type": "TimeLimit", "message": "slow"}),
        record("", "three words heard", id="empty"),
    ]
    result = score(records, ScoreOptions("none", worst=4))
    assert [aligned.name for aligned in result.worst] == [
        "empty",
        "whole, two",
        "whole, one, first",
        "whole, one, second",
    ]
    everything = score(records, ScoreOptions("none", worst=100)).worst
    assert [aligned.name for aligned in everything[4:]] == ["quarter"]
    assert score(records, ScoreOptions("none", worst=0)).worst == ()


def test_aligned_view_is_sclites():
    records = [record("the quick brown fox ran", "quick brown foxes ran off", id="u1")]
    assert printed(score(records)).splitlines()[-4:] == [
        "u1: WER 60.00%, 3 errors in 5 words",
        "REF:  the quick brown fox   ran ***",
        "HYP:  *** quick brown foxes ran off",
        "EVAL: D               S         I",
    ]


def test_aligned_columns_count_wide_and_combining_characters_in_cells():
    alignment = [Pair("S", "天气", "xy"), Pair("D", "e\u0301te\u0301", None), Pair("I", None, "z")]
    assert list(blocks(alignment, 80)) == [
        ("REF:  天气 e\u0301te\u0301 *", "HYP:  xy   *** z", "EVAL: S    D   I")
    ]


def test_aligned_view_wraps_and_leaves_out_what_is_right():
    words = ["word"] * 40
    result = score([record(" ".join(words), " ".join([*words[:-1], "ward"]))], NONE)
    lines = printed(result, width=41).splitlines()  # seven words a line
    assert lines[lines.index("Worst utterances") + 3 :] == [
        "REF:  word word word word word",
        "HYP:  word word word word ward",
        "EVAL:                     S",
    ]


def test_a_long_recordings_view_is_cut():
    result = score([record("a " * 5000, "b " * 5000)], NONE)
    assert printed(result).count("REF:") == 10
    assert printed(result).endswith("… and more\n")


def test_text_can_neither_move_the_cursor_nor_speak_markup():
    result = score([record("a\x1b[2J \udc80", "[bold]b[/bold] c", id="[red]u\r")], NONE)
    text = printed(result)
    assert "[red]u�" in text
    assert "HYP:  [bold]b[/bold] c" in text
    assert "\x1b" not in text
    text.encode()


def test_emit_gives_every_record_in_order_with_its_counts():
    records = [
        record("a b", "a c", id="1", words=[{"text": "a"}]),
        {"id": "2", "pred_text": "x"},
        record("", "x", id="3"),
    ]
    before = json.dumps(records)
    emitted = []
    score(records, NONE, emit=emitted.append)
    assert json.dumps(records) == before
    assert [line["id"] for line in emitted] == ["1", "2", "3"]
    assert [line["wer"] for line in emitted] == [0.5, None, None]
    assert list(emitted[0]) == [*records[0], "wer", "cer", "word_errors", "char_errors"]
    assert emitted[0]["words"] == [{"text": "a"}]
    assert emitted[0]["word_errors"] == {
        "reference": 2,
        "hits": 1,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 0,
    }
    assert emitted[1]["word_errors"] is None
    assert emitted[2]["word_errors"]["insertions"] == 1


def test_json_states_what_was_measured_and_how():
    result = score(generated(50), ScoreOptions("none", by="speaker", worst=1)).to_json()
    result = json.loads(json.dumps(result, allow_nan=False))
    words = result["words"]
    assert words["reference"] == words["hits"] + words["substitutions"] + words["deletions"]
    assert (
        result["wer"]
        == (words["substitutions"] + words["deletions"] + words["insertions"])
        / (words["reference"])
    )
    assert result["normaliser"] == "none"
    assert result["by"]["field"] == "speaker"
    assert set(result["by"]["groups"]) == {f"s{i}" for i in range(7)}
    assert result["interval"]["resamples"] == 1000
    marks = Counter(pair["mark"] for pair in result["worst"][0]["alignment"])
    assert marks["S"] == result["worst"][0]["words"]["substitutions"]


JAPANESE = record("今日は天気がいいですね", "今日は天気がいいです", id="ja")


def test_cer_leads_where_words_are_not_written_apart():
    result = score([JAPANESE])
    assert result.total.chars.rate == pytest.approx(0.0909, abs=5e-5)
    summary = result.to_json()
    assert summary["figure_to_quote"] == "cer"
    assert (
        "100% of the reference's characters are of scripts that put no spaces"
        in (summary["why_this_figure"])
    )
    assert "cer" in summary["worst"][0]
    text = printed(result)
    assert "quote the CER: 100% of the reference's characters" in text
    assert text.index("\nCER ") < text.index("\nWER ")
    assert text.splitlines()[-4:] == [
        "ja: CER 9.09%, 1 error in 11 characters",
        "REF:  今 日 は 天 気 が い い で す ね",
        "HYP:  今 日 は 天 気 が い い で す **",
        "EVAL:                               D",
    ]


def test_wer_leads_where_words_are_written_apart():
    result = score([record("a b", "a c"), record("한국어 좋다", "한국어 좋아")])
    assert result.to_json()["figure_to_quote"] == "wer"
    assert "quote the" not in printed(result)
    assert printed(result).index("\nWER ") < printed(result).index("\nCER ")


@pytest.mark.parametrize(
    ("reference", "figure"),
    [
        ("ฉันดื่มน้ำ ทุกวัน", "cer"),
        ("ຂ້ອຍດື່ມນ້ຳ", "cer"),
        ("ខ្ញុំផឹកទឹក", "cer"),
        ("ကျွန်တော် ရေသောက်တယ်", "cer"),
        ("我每天喝水", "cer"),
        ("今日はMicrosoft Teamsで会議です", "cer"),
        ("the word for tea is 茶 in both of them", "wer"),
        ("나는 물을 마신다", "wer"),
        ("मैं पानी पीता हूँ", "wer"),
        ("ጤና ይስጥልኝ", "wer"),
        ("?!", "wer"),
    ],
)
def test_the_figure_to_quote(reference, figure):
    assert score([record(reference, "")]).total.letters.figure == figure


def test_every_group_has_its_own_figure_and_interval():
    english = [record("the cat sat", "the cat sits", lang="en") for _ in range(9)]
    japanese = [record("今日は", said, lang="ja") for said in ("今日は", "今日", "明日は")]
    result = score([*english, *japanese], ScoreOptions(by="lang"))
    groups = result.to_json()["by"]["groups"]
    assert {name: group["figure_to_quote"] for name, group in groups.items()} == {
        "en": "wer",
        "ja": "cer",
    }
    assert groups["ja"]["cer_interval"] != groups["ja"]["wer_interval"]
    low, high = groups["ja"]["cer_interval"]
    (line,) = [line for line in printed(result).splitlines() if line.startswith("ja ")]
    assert line.split()[-2:] == ["CER", f"{100 * low:.2f}-{100 * high:.2f}%"]


def test_worst_are_ranked_each_by_its_own_figure():
    result = score([JAPANESE, record("a b c d", "a b c x", id="en")])
    assert [aligned.name for aligned in result.worst] == ["en", "ja"]


def test_spaces_beside_scripts_without_them_are_no_characters():
    one = record("今日は、New Yorkへ 行く。", "今日はnew yorkへ行く")
    assert score([one]).total.chars.errors == 0
    assert score([one], NONE).total.chars.errors == 5
    assert score([record("new york", "newyork")]).total.chars.errors == 1


def test_a_lone_mark_and_a_space_are_seen_in_an_alignment():
    alignment = [Pair("C", "น", "น"), Pair("D", "\u0e49", None), Pair("D", " ", None)]
    assert list(blocks(alignment, 80)) == [("REF:  น ◌\u0e49 ␣", "HYP:  น * *", "EVAL:   D D")]


def test_printed_tables_are_plain_and_fit_eighty_columns():
    text = printed(score(generated(300), ScoreOptions("none", by="speaker")))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "speaker  utterances" in text


def test_records_are_let_go_as_they_stream():
    class Traced(dict):
        __hash__ = object.__hash__
        __eq__ = object.__eq__

    alive = weakref.WeakSet()
    most = 0

    def stream():
        nonlocal most
        for line in generated(3000):
            traced = Traced(line)
            alive.add(traced)
            most = max(most, len(alive))
            yield traced

    score(stream(), NONE)
    assert most < 1100  # two of the batches that jiwer is called with


def test_scoring_is_imported_without_its_heavy_packages():
    code = (
        "import sys, speechkit.scoring.score, speechkit.reports.score;"
        "print({'numpy', 'jiwer', 'rapidfuzz', 'whisper_normalizer'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"
