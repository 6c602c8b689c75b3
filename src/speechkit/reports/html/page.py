"""A page of HTML in one file: it opens no connection, and needs no other file.

Use:

    from speechkit.reports.html.charts import Mark, Series, bar_list, histogram, time_line
    from speechkit.reports.html.page import facts, section, table, write_page

    memory = Series("worker 1", [(0.0, 310.0), (1.0, None), (2.0, 320.0)])  # None is a gap
    write_page(
        "report.html",
        "Run of speechkit asr",
        [
            facts([("utterances", 120), ("failed", 2)]),
            section(
                "Memory",
                time_line("Memory of the workers", [memory], unit="MB", marks=[Mark(1.0, "died")]),
            ),
            section(
                "Utterances",
                histogram("Time of an utterance", edges=[0, 1, 2], counts=[90, 30], unit="s"),
                bar_list("Errors by kind", [("AudioNotFound", 2)]),
                table("Slowest utterances", ["utterance", "time (s)"], [["a.wav", 1.92]]),
            ),
        ],
    )

Text is escaped wherever it comes in; what `markup.element` makes is not escaped again. A policy in
the page forbids any connection, and any script or style but its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from speechkit.io.atomic import publish
from speechkit.reports.html.markup import Html, element, escaped, joined
from speechkit.version import __version__


def section(heading: str, *content: object, id_: str | None = None) -> Html:
    return element("section", element("h2", heading), *content, id=id_)


def paragraph(*content: object) -> Html:
    return element("p", *content)


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """The numbers that matter most, each with its name."""
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in pairs),
        class_="facts",
    )


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    sortable: bool = True,
) -> Html:
    """A table; a click on a column's name sorts by it. Numbers stand right and sort as numbers.

    A cell is a text, a number, markup, or None where there is no value.
    """
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    body = (element("tr", *map(_cell, row)) for row in rows)
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", head),
            element("tbody", *body),
            class_="sortable" if sortable else None,
        ),
        class_="wide",
        role="region",
        aria_label=caption,
        tabindex=0,
    )


def _cell(value: object) -> Html:
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = f"{value:,}" if isinstance(value, int) else value
        return element("td", shown, class_="number", data_value=repr(value))
    return element("td", value)


def document(
    title: str,
    content: Iterable[object],
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> Iterator[str]:
    """The text of a page, piece by piece. ``styles`` and ``scripts``: names of files in this
    package, besides those of every page."""
    style = "\n".join(map(_file, ["page.css", *styles]))
    script = "\n".join(map(_file, ["page.js", *scripts]))
    policy = (
        "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n'
    yield from (
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=Html(policy)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
        Html("\n</head>\n<body>\n"),
        element("header", element("h1", title)),
        Html("\n<main>\n"),
    )
    for piece in content:
        yield escaped(piece) + "\n"
    yield Html("</main>\n")
    yield element("footer", f"Made by speechkit {__version__}.")
    yield joined([element("script", Html(script)), Html("\n</body>\n</html>\n")])


def write_page(
    path: str | Path,
    title: str,
    content: Iterable[object],
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> None:
    """Write a page as a whole or not at all. Raise `OutputFailed`."""
    with publish(path) as file:
        for piece in document(title, content, styles=styles, scripts=scripts):
            file.write(piece.encode())


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
