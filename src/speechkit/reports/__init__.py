"""Results as people and programs read them: text or tables, and JSON.

Reports stand above everything that makes results, so that none of it words what it found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType


class Report(Protocol):
    """One view of a result; `speechkit.commands.console` prints any of them."""

    @property
    def exit_code(self) -> int: ...

    def view(self) -> RenderableType:
        """Plain text, or tables for rich to print."""
        ...

    def to_json(self) -> Any: ...
