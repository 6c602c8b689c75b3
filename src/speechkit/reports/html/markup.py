"""HTML by small calls that escape whatever is not markup already."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable

from speechkit.io.file_names import harmless

_VOID = {"br", "col", "hr", "img", "input", "link", "meta"}


class Html(str):
    """Markup, which is taken as it is; any other text is escaped."""

    __slots__ = ()


def element(tag: str, *content: object, **attributes: object) -> Html:
    """An element: ``element("a", "see", href="#top", class_="quiet", data_at=1.5)``.

    Underscores within an attribute's name stand for hyphens, one at its end is dropped. True gives
    an attribute without a value; None and False leave it out. Content that is None is left out.
    """
    pieces = [f"<{tag}"]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        pieces.append(" " + name.rstrip("_").replace("_", "-"))
        if value is not True:
            pieces.append(f'="{escaped(value)}"')
    pieces.append(">")
    if tag not in _VOID:
        pieces += [joined(content), f"</{tag}>"]
    return Html("".join(pieces))


def joined(content: Iterable[object]) -> Html:
    return Html("".join(escaped(piece) for piece in content if piece is not None))


def escaped(value: object) -> Html:
    """The text as HTML; its control characters, marks of direction and half characters are shown
    as escapes."""
    if isinstance(value, Html):
        return value
    text = number(value) if isinstance(value, float) else str(value)
    return Html(html.escape(harmless(text)))


def number(value: float, digits: int = 4) -> str:
    """A number for readers: about so many significant digits, thousands set apart."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = 0 if isinstance(value, int) else digits - 1 - math.floor(math.log10(abs(value)))
    shown = f"{value:,.{min(max(decimals, 0), 9)}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return shown.replace("-", "−") if float(shown.replace(",", "")) else "0"
