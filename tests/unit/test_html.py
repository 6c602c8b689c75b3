"""Pages of HTML: what is escaped, where ticks stand, and what a page about a validation holds."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from audiokit import EXAMPLES
from speechkit.reports.excerpts import levels, png
from speechkit.reports.html.axes import bins, ticks, time_labels, time_ticks
from speechkit.reports.html.charts import Series, time_line
from speechkit.reports.html.markup import Html, element, escaped, number
from speechkit.reports.html.page import table, write_page
from speechkit.reports.validate_page import write_validate_page
from speechkit.reports.validate_survey import CASES, Survey
from speechkit.stages.validate.rules import RULES
from speechkit.stages.validate.stage import ValidateOptions

SOUNDS = sorted(EXAMPLES.glob("*/*.flac"))


class Balanced(HTMLParser):
    """Counts elements, and finds those that are not closed where they should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.append(tag)
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_whatever_comes_from_data_is_escaped() -> None:
    assert escaped("<b>&\"'") == "&lt;b&gt;&amp;&quot;&#x27;"
    assert escaped("a\u202eb\x1b\ud800") == r"a\u202eb\x1b\ud800"
    assert element("a", "<", Html("<br>"), title='"') == '<a title="&quot;">&lt;<br></a>'
    assert element("td", None, data_value=1, hidden=True, id=None) == (
        '<td data-value="1" hidden></td>'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567, "1,234,567"), (-3.0, "−3"), (0.012345, "0.01235"), (99.99999, "100")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-37, 4) == [-30, -20, -10, 0]
    assert time_labels(time_ticks(0, 30)) == ["0 s", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s"]
    assert time_labels(time_ticks(0, 7000))[:3] == ["0:00 min", "15:00 min", "30:00 min"]
    assert time_labels(time_ticks(0, 100_000))[1] == "6:00 h"


def test_bins_hold_their_values() -> None:
    chance = random.Random(0)
    for _ in range(300):
        low = chance.uniform(-1, 1) * 10 ** chance.randint(-4, 6)
        high = low + chance.random() * 10 ** chance.randint(-4, 6)
        edges = bins(low, high)
        assert edges[0] <= low + 1e-5 * (edges[1] - edges[0])
        assert edges[-1] >= high
        assert 2 <= len(edges) <= 34
    assert bins(0, 3, whole=True) == [0, 1, 2, 3, 4]


def test_lines_of_many_points_keep_their_extremes() -> None:
    values: list[tuple[float, float | None]] = [(t / 100, 1.0) for t in range(20_000)]
    values[12_345] = (123.45, 9.0)
    svg = time_line("load", [Series("cpu", values)])
    assert len(svg) < 60_000
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", svg)]
    assert heights.count(min(heights)) == 1


def test_tables_and_pages_are_well_formed(tmp_path: Path) -> None:
    Balanced(table("T", ["a", "b"], [["</td>", 1], [None, 2.5]]))
    write_page(tmp_path / "p.html", "<i>", [Html("<p>x</p>")])
    text = (tmp_path / "p.html").read_text()
    assert "http" not in text.replace("http-equiv", "")
    Balanced(text.partition("\n")[2])


def test_spectrograms_show_what_sounds() -> None:
    tone = np.sin(2 * np.pi * 2000 * np.arange(16_000) / 16_000).astype(np.float32)
    rows = levels(tone, 16_000).mean(axis=1)
    assert 80 - rows.argmax() == pytest.approx(80 * 2000 / 8000, abs=1)
    assert levels(np.zeros(100, np.float32), 16_000).max() == 0, "silence is black"
    assert png(levels(tone, 16_000)).startswith(b"\x89PNG")


def record(number_: int, name: str, value: float) -> dict[str, object]:
    """A line with all the findings whose measures are numbers."""
    audio = SOUNDS[number_ % len(SOUNDS)]
    rules = [rule for rule in RULES if rule.option]
    return {
        "id": name,
        "audio_filepath": str(audio),
        "duration": 3.0,
        "text": "<&\ud800" * 100,
        "valid": False,
        "issues": [rule.name for rule in rules if rule.blocking],
        "warnings": [rule.name for rule in rules if not rule.blocking],
        "measures": {"sample_rate": 16_000, **{rule.measure: value for rule in rules}},
    }


def test_the_worst_cases_are_those_of_the_largest_or_the_smallest_values() -> None:
    survey = Survey()
    order = random.Random(1).sample(range(100), 100)
    for value in order:
        survey.add(record(0, f"u{value}", value))
    worst = survey.worst()
    assert [one.name for one in worst["clipped"]] == [f"u{99 - rank}" for rank in range(CASES)]
    assert [one.name for one in worst["low_snr"]] == [f"u{rank}" for rank in range(CASES)]


def test_a_page_about_every_finding(tmp_path: Path) -> None:
    """Those about other lines too; of three values each, which are listed."""
    named = {"line": 7, "audio_filepath": "/data/first.flac"}
    lines = []
    for value in (0.25, 0.5, 0.75):
        line = record(0, "u", value) | {"audio_filepath": "/none.flac"}
        line["issues"] = [rule.name for rule in RULES if rule.blocking]
        line["warnings"] = [rule.name for rule in RULES if not rule.blocking]
        line["measures"] = {rule.measure: value for rule in RULES if rule.option} | {
            **{"fault": "truncated", "damaged": True, "duplicate_of": named, "speaker_of": named}
        }
        lines.append(json.dumps(line) + "\n")
    (tmp_path / "v.jsonl").write_text("".join(lines))
    write_validate_page(tmp_path / "r.html", str(tmp_path / "v.jsonl"), ValidateOptions())
    text = (tmp_path / "r.html").read_text()
    for rule in RULES:
        assert f'data-finding="{rule.name}"' in text
    assert "duplicate_of line 7, /data/first.flac" in text
    assert "speaker_of line 7, /data/first.flac" in text
    measures = text[text.index('id="measures"') : text.index('id="worst"')]
    assert 'class="plot"' not in measures
    assert "0.75" in measures, "the largest value"


@pytest.mark.slow
def test_a_page_stays_small_whatever_it_is_about(tmp_path: Path) -> None:
    """10,000 utterances that have every finding, long names that must be escaped, and sound."""
    with open(tmp_path / "v.jsonl", "w") as lines:
        for index in range(10_000):
            line = record(index, f"{'<&' * 300}{index}", float(index))
            lines.write(json.dumps(line) + "\n")
    write_validate_page(tmp_path / "r.html", str(tmp_path / "v.jsonl"), ValidateOptions())
    text = (tmp_path / "r.html").read_text()
    assert 3_500_000 < len(text.encode()) < 5_000_000
    assert text.count("<audio") > 40
    assert re.search(r"\d+ cases came without sound and picture", text)
    assert re.search(r"[\d,]+ of 10,?000 flagged utterances: the rest would make this page", text)
