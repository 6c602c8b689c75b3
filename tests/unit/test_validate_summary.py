"""What a summary counts of verdicts, its comparison with a baseline, and their tables."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechkit.errors import UsageError
from speechkit.reports.validate import ASCII_BARS, BARS, ValidateReport, histogram, measure_table
from speechkit.runtime.summary import Summary
from speechkit.runtime.verdicts import SAMPLE, Distribution, Verdicts
from speechkit.stages.validate.baseline import Comparison, read_baseline


def summary(records: list[dict[str, Any]], **options: Any) -> Summary:
    verdicts = Verdicts()
    for record in records:
        verdicts.count(record)
    return Summary(
        stage="validate",
        output="v.jsonl",
        utterances=len(records),
        done=len(records),
        resumed=0,
        failed=0,
        errors={},
        flags={},
        audio_seconds=1.0,
        wall_seconds=1.0,
        first_result_seconds=0.1,
        real_time_factor=1.0,
        peak_memory=1,
        workers=1,
        device=None,
        options=options,
        versions={},
        verdicts=verdicts.to_json(),
    )


def record(snr: float | None = 20.0, issues: str = "", warnings: str = "") -> dict[str, Any]:
    return {
        "duration": 2.0,
        "valid": not issues,
        "issues": issues.split(),
        "warnings": warnings.split(),
        "measures": {"snr": snr, "clipping": 0.0, "fingerprint": "ab", "duplicate_of": {}},
    }


def test_verdicts_are_counted_by_name_and_measures_where_they_are_numbers() -> None:
    records = [record(), record(None, "clipped no_text", "hum"), record(30.0, "clipped")]
    counted = summary(records).to_json()
    assert (counted["invalid"], counted["exit_code"]) == (2, 3)
    assert counted["issues"] == {"clipped": 2, "no_text": 1}
    assert counted["warnings"] == {"hum": 1}
    assert counted["measures"].keys() == {"duration", "snr", "clipping"}
    assert counted["measures"]["snr"]["count"] == 2


@pytest.mark.parametrize(("count", "error"), [(7, 1e-4), (SAMPLE, 1e-4), (60_000, 0.1)])
def test_quantiles_are_those_of_numpy_in_flat_memory(count: int, error: float) -> None:
    rng = random.Random(1)
    values = [rng.gauss(-20, 1) for _ in range(count)]
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    found = distribution.to_json()
    for percent in (5, 50, 95):
        assert math.isclose(
            found["quantiles"][str(percent)], np.percentile(values, percent), abs_tol=error
        )
    assert (found["minimum"], found["count"]) == (float(f"{min(values):.6g}"), count)
    assert math.isclose(sum(found["histogram"]["shares"]), 1, abs_tol=0.002)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    records = [record(snr=20 + number / 10) for number in range(98)] + [
        record(issues="clipped")
    ] * 2
    file = tmp_path / "earlier.json"
    file.write_text(json.dumps(summary(records, max_clipping=0.01).to_json()))
    return file


def compared(earlier: Path, records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    later = summary(records, max_clipping=0.01).to_json()
    comparison = read_baseline(str(earlier)).compared(later, 0.01)
    assert comparison.other_options == ()
    return [(worse.kind, worse.name) for worse in comparison.worse]


def test_the_same_delivery_and_a_better_one_are_no_worse(earlier: Path) -> None:
    same = [record(snr=20 + number / 10) for number in range(98)] + [record(issues="clipped")] * 2
    assert compared(earlier, same) == []
    assert compared(earlier, [record(snr=60.0)] * 50) == []
    assert compared(earlier, [*same, record(issues="clipped")]) == []  # 3 of 101: within 1 %


def test_what_rose_above_the_tolerance_is_worse(earlier: Path) -> None:
    later = [record(snr=25.0)] * 90 + [record(25.0, "clipped", "hum")] * 10
    assert compared(earlier, later) == [("invalid", ""), ("issue", "clipped"), ("warning", "hum")]


def test_a_median_that_left_the_middle_half_is_worse(earlier: Path) -> None:
    assert compared(earlier, [record(snr=21.0)] * 100) == [("measure", "snr")]
    assert compared(earlier, [record(snr=23.0)] * 100) == []
    assert compared(earlier, [record(snr=1.0)] * 5) == []  # too few to tell


def test_a_measure_with_rules_on_both_sides_is_neither_worse_above_nor_below(
    earlier: Path,
) -> None:
    for name in ("duration", "loudness", "letters_per_second"):
        before = json.loads(earlier.read_text())
        before["measures"][name] = before["measures"]["snr"]
        later = json.loads(json.dumps(before))
        for median in (-100.0, 100.0):
            later["measures"][name]["quantiles"]["50"] = median
            earlier.write_text(json.dumps(before))
            assert read_baseline(str(earlier)).compared(later, 0.01).worse == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [('"utterances": 100', '"utterances": 1e400'), ('"clipped": 2', '"clipped": -2')],
)
def test_numbers_that_count_nothing_are_no_baseline(earlier: Path, old: str, new: str) -> None:
    text = earlier.read_text()
    assert old in text
    earlier.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match="is not the summary of a validation"):
        read_baseline(str(earlier))


def test_other_options_are_named(earlier: Path) -> None:
    later = summary([record()], max_clipping=0.02, require_text=True).to_json()
    comparison = read_baseline(str(earlier)).compared(later, 0.01)
    assert comparison.other_options == ("max_clipping", "require_text")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"stage": "asr"}', '{"stage": "validate"}', "\xff", "null", '{"stage": 1}'],
)
def test_another_file_is_no_baseline(tmp_path: Path, content: str) -> None:
    file = tmp_path / "b.json"
    file.write_text(content, encoding="latin-1")
    for path in (file, tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError, match="--baseline"):
            read_baseline(str(path))


def test_a_comparison_decides_the_exit_code(earlier: Path) -> None:
    invalid = summary([record(issues="clipped")])
    same = Comparison(baseline="b.json", worse=(), other_options=())
    worse = read_baseline(str(earlier)).compared(invalid.to_json(), 0.01)
    assert ValidateReport(invalid).exit_code == 3
    assert ValidateReport(invalid, same).exit_code == 0
    assert ValidateReport(replace(invalid, failed=1), same).exit_code == 3
    report = ValidateReport(invalid, worse)
    assert report.exit_code == report.to_json()["exit_code"] == 3
    assert report.to_json()["comparison"]["worse"][0]["kind"] == "invalid"
    assert "issue clipped" in report.view()
    assert "100.00%" in report.view()


def test_a_histogram_shows_every_share() -> None:
    assert histogram([0.0, 0.001, 0.5, 1.0], BARS) == " ▁▄█"
    assert histogram([0.0, 0.001, 0.5, 1.0], ASCII_BARS) == " .=@"
    assert histogram([0.0, 0.0], BARS) == "  "


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_the_table_is_as_wide_as_the_terminal(width: int) -> None:
    measures = summary([record(snr=float(number)) for number in range(30)]).to_json()["measures"]
    lines = list(measure_table(measures, width, BARS))
    assert len(lines) == 4
    assert max(map(len, lines)) <= max(width, 32)
    assert any("█" in line for line in lines) == (width >= 60)


def test_no_measures_no_table() -> None:
    assert list(measure_table({}, 80, BARS)) == []
    assert "valid: 0 of 0" in ValidateReport(summary([])).view()
