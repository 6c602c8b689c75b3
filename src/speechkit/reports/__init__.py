"""Results for readers and programs: text or tables, and JSON.

Only reports put results into words. They are a layer above all code that computes results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType


class Report(Protocol):
    """A view of a result, which `speechkit.commands.console` can print."""

    @property
    def exit_code(self) -> int: ...

    def view(self) -> RenderableType:
        """Plain text, or tables for rich to print."""
        ...

    def to_json(self) -> Any: ...
