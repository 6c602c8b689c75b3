"""A page about a validation: counts, distributions, and the worst cases to hear and to see.

It stays below 5 MB, whatever was validated, and says what it leaves out.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechkit.errors import UtteranceError
from speechkit.io import manifest
from speechkit.reports.excerpts import Excerpt, excerpt
from speechkit.reports.html.axes import bins
from speechkit.reports.html.charts import Mark, bar_list, histogram, spectrogram
from speechkit.reports.html.markup import Html, element, number
from speechkit.reports.html.page import facts, paragraph, section, table, write_page
from speechkit.reports.plurals import counted
from speechkit.reports.validate_survey import (
    FINDINGS,
    NAME,
    Flagged,
    Survey,
    shortened,
    value_of,
)
from speechkit.runtime.verdicts import SAMPLE, Distribution
from speechkit.stages.validate.rules import ABOVE, MEASURES, RULES, UNITS, Limit, Rule

if TYPE_CHECKING:
    from speechkit.stages.validate.stage import ValidateOptions

CASES_BYTES, ROWS_BYTES = 3_200_000, 1_300_000  # of 5 MB; the rest is for charts and words
SECONDS, BEFORE = 3.0, 1.0  # of an excerpt, and of them before the place that it is about
FEW = 12  # different whole numbers, which are named one by one
LISTED = 4  # values of any kind, which are too few for a histogram


def write_validate_page(path: str | Path, validated: str, options: ValidateOptions) -> None:
    """``validated``: the manifest that was made with these options.

    Raise `OutputFailed`, and `ManifestError` for a manifest that was damaged since.
    """
    survey = Survey()
    for record in manifest.read_records(validated):
        survey.add(record)
    write_page(
        path,
        f"Validation of {counted(survey.utterances, 'utterance')}",
        _content(survey, options),
        styles=["validate.css"],
        scripts=["validate.js"],
    )


def _content(survey: Survey, options: ValidateOptions) -> Iterator[Html]:
    verdicts = survey.verdicts
    yield facts(
        [
            ("utterances", survey.utterances),
            ("hours of audio", survey.seconds / 3600),
            ("valid", survey.utterances - verdicts.invalid),
            ("invalid", verdicts.invalid),
            ("valid with warnings", survey.flagged - verdicts.invalid),
        ]
    )
    yield section(
        "Findings",
        bar_list("Issues, in utterances", verdicts.issues.most_common()),
        bar_list("Warnings, in utterances", verdicts.warnings.most_common()),
        id_="findings",
    )
    charts = [*_charts(verdicts.measures, options.thresholds)]
    yield section("Measures", element("div", *charts, class_="charts"), id_="measures")
    if survey.flagged:
        yield _filter(survey)
        yield _worst(survey, options)
        yield _table(survey)


def _charts(
    measures: Mapping[str, Distribution], thresholds: Mapping[str, Limit]
) -> Iterator[Html]:
    names = ["duration", *(measure.name for measure in MEASURES)]
    for name in (name for name in names if name in measures):
        values, count = measures[name].values, measures[name].count
        different = sorted(set(values))
        is_whole = all(value.is_integer() for value in different)
        if len(values) <= LISTED or (len(different) <= FEW and is_whole):
            each = [
                (number(value), count * values.count(value) / len(values)) for value in different
            ]
            title = f"{name} ({UNITS[name]})" if UNITS[name] else name
            yield bar_list(title, [(value, round(share)) for value, share in each])
        else:
            yield _histogram(name, values, count, thresholds)


def _histogram(
    name: str, values: Sequence[float], count: int, thresholds: Mapping[str, Limit]
) -> Html:
    """Of the values; the one percent farthest out counts for the outermost bins."""
    last = len(values) - 1
    low, median = (values[int(share * last)] for share in (0.005, 0.5))
    high = values[math.ceil(0.995 * last)]
    edges = bins(low, high, whole=all(value.is_integer() for value in values))
    width, counts = edges[1] - edges[0], [0] * (len(edges) - 1)
    for value in values:
        counts[min(max(int((value - edges[0]) / width + 1e-9), 0), len(counts) - 1)] += 1
    limits = dict(_limits(name, thresholds))
    sides = [
        f"{rule.name} {'above' if rule.comparison == ABOVE else 'below'} {number(limit)}"
        for rule, limit in limits.items()
    ]
    sampled = [f"a random sample of {number(SAMPLE)}"] if count > len(values) else []
    return histogram(
        name,
        edges,
        [round(one * count / len(values)) for one in counts],
        unit=UNITS[name],
        note="; ".join([f"median {number(median)}", *sides, *sampled]),
        limits=[limit for limit in limits.values() if edges[0] <= limit <= edges[-1]],
    )


def _limits(measure: str, thresholds: Mapping[str, Limit]) -> Iterator[tuple[Rule, float]]:
    """The rules about a measure whose thresholds are numbers."""
    for rule in RULES:
        limit = thresholds.get(rule.option, rule.threshold)
        if rule.measure == measure and rule.option and isinstance(limit, int | float):
            yield rule, limit


def _filter(survey: Survey) -> Html:
    options = [element("option", "all", value="")]
    options += [element("option", name, value=name) for name in survey.worst()]
    return element(
        "form",
        element("label", "Finding ", element("select", *options, name="issue")),
        element("label", "Text ", element("input", type="search", name="search")),
        element("output", aria_live="polite"),
        class_="filter",
        role="search",
    )


def _worst(survey: Survey, options: ValidateOptions) -> Html:
    worst = survey.worst()
    cards, silent = _cards(worst, options)
    note = f"{counted(silent, 'case')} came without sound and picture, to keep this page small."
    return section(
        "Worst cases",
        element("p", note, class_="note") if silent else None,
        *(_group(name, cards[name], survey) for name in worst),
        id_="worst",
    )


def _cards(
    worst: Mapping[str, Sequence[Flagged]], options: ValidateOptions
) -> tuple[Mapping[str, Sequence[Html]], int]:
    """The cases of each finding, and the number of those without sound and picture, which go to the
    worst of each finding first, and on as far as there is room."""
    cards: dict[str, list[Html]] = {name: [] for name in worst}
    ranks = zip_longest(*([(name, one) for one in cases] for name, cases in worst.items()))
    left, silent = CASES_BYTES, 0
    for name, case in filter(None, chain.from_iterable(ranks)):
        card = None if silent else _card(name, case, _media(name, case, options))
        if card is None or len(card) > left:
            card, silent = _card(name, case, None), silent + 1
        if len(card) <= left:
            cards[name].append(card)
            left -= len(card)
    return cards, silent


def _group(name: str, cards: Sequence[Html], survey: Survey) -> Html:
    rule, verdicts = FINDINGS[name], survey.verdicts
    total = verdicts.issues[name] + verdicts.warnings[name]
    meaning = rule.meaning if rule else "the utterance couldn't be validated"
    return element(
        "section",
        element("h3", f"{name}: {meaning} "),
        paragraph(f"{len(cards)} of {counted(total, 'utterance')}."),
        element("div", *cards, class_="cases"),
        class_="group",
        data_finding=name,
    )


def _media(name: str, case: Flagged, options: ValidateOptions) -> Html:
    """A spectrogram and a player, or the reason why there are none."""
    place = case.places.get(name)
    length = case.duration or 0.0
    middle = length / 2 - SECONDS / 2
    start = max(0.0, min(middle if place is None else place - BEFORE, length - SECONDS))
    try:
        heard = excerpt(
            case.path,
            offset=case.offset,
            start=start,
            seconds=min(SECONDS, length - start) if length else SECONDS,
            sample_rate=case.sample_rate,
            channel=options.channel,
            track=options.track,
        )
    except (UtteranceError, OSError) as e:
        return element("p", f"It can't be heard: {str(e)[-300:]}", class_="note")
    return _player(heard, name, place)


def _player(heard: Excerpt, name: str, place: float | None) -> Html:
    end = heard.start + heard.seconds
    marks = [] if place is None else [Mark(place, f"{name} at {number(place)} s")]
    title = f"{heard.start:.2f} s to {end:.2f} s"
    sound = base64.b64encode(heard.mp3).decode()
    return element(
        "div",
        spectrogram(
            f"Spectrogram, {title}", heard.png, span=(heard.start, end), top=heard.top, marks=marks
        ),
        element(
            "audio",
            controls=True,
            preload="none",
            src=f"data:audio/mpeg;base64,{sound}",
            aria_label=f"Play {title}",
        ),
        class_="player",
    )


def _card(name: str, case: Flagged, media: Html | None) -> Html:
    place = case.places.get(name)
    at = "" if place is None else f" at {number(place)} s"
    lines = [("found", _value(name, case) + at)]
    lines += [("message", case.message)] * bool(case.message)
    lines += [*case.texts.items()]
    others = [one for one in (*case.issues, *case.warnings) if one != name]
    lines += [("also", ", ".join(others))] * bool(others)
    shown = [(element("dt", key), element("dd", value)) for key, value in lines if value]
    return element(
        "article",
        element("h4", case.name),
        media,
        element("dl", *chain(*shown)),
        class_="case",
    )


def _value(name: str, case: Flagged) -> str:
    """The measured value behind a finding with its unit: ``clipping 2.1 %``."""
    rule, value = FINDINGS[name], value_of(name, case.values)
    if rule is None or value is None:
        return ""
    if isinstance(value, Mapping):  # the name of another line
        path = shortened(value.get("audio_filepath"), NAME)
        return f"{rule.measure} line {value.get('line')}, {path}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{rule.measure} {value}"
    return f"{rule.measure} {number(value)} {UNITS.get(rule.measure, '')}".rstrip()


def _table(survey: Survey) -> Html:
    rows: list[Sequence[Any]] = []
    left = ROWS_BYTES
    for one in survey.rows:
        found = (*one.issues, *one.warnings)
        values = ", ".join(dict.fromkeys(value for name in found if (value := _value(name, one))))
        row = [one.name, one.duration, ", ".join(one.issues), ", ".join(one.warnings), values]
        left -= 120 + sum(len(element("td", cell)) for cell in row)
        if left < 0:
            break
        rows.append(row)
    columns = ["utterance", "seconds", "issues", "warnings", "values"]
    note = f"{number(len(rows))} of {counted(survey.flagged, 'flagged utterance')}"
    note += "." if len(rows) == survey.flagged else ": the rest would make this page too large."
    flagged = table("Flagged utterances", columns, rows)
    return section("All findings", element("p", note, class_="note"), flagged, id_="flagged")
