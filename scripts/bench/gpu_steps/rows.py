"""A measured figure as a line of a table; without any package but Python's own."""

from __future__ import annotations

from typing import Any


def line(row: dict[str, Any]) -> str:
    value = f"{row['value']:10.2f} {row['unit']:12}"
    return f"{row['step']:16} {row['what']:44} {value} {row['note']}".rstrip()
