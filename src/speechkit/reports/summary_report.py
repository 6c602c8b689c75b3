"""A report of a summary, line by line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class Summary(Protocol):
    """The closing account of a run."""

    @property
    def exit_code(self) -> int: ...

    def to_json(self) -> dict[str, Any]: ...


Own = TypeVar("Own", bound=Summary)


@dataclass(frozen=True, slots=True)
class SummaryReport(Generic[Own]):
    """A `Report` of a summary, which has the exit code and the JSON already."""

    summary: Own

    @property
    def exit_code(self) -> int:
        return self.summary.exit_code

    def to_json(self) -> dict[str, Any]:
        return self.summary.to_json()

    def view(self) -> str:
        return "\n".join(self._lines())

    @abstractmethod
    def _lines(self) -> Iterator[str]: ...
