"""Tables of named models, and of the verification of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechkit.doctor.models import ListedModel, Verification


@dataclass(frozen=True, slots=True)
class ModelsReport:
    """A `Report` of named models."""

    models: Sequence[ListedModel]

    @property
    def exit_code(self) -> int:
        return 0

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(model) for model in self.models]

    def view(self) -> str:
        rows = [("model", "engine", "size", "licence", "folder, or command that fetches it")]
        rows += [
            (model.name, model.engine, _size(model.size), model.licence, model.where)
            for model in self.models
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, "s2s has no named models: give it the paths of checkpoints"])


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """A `Report` of the verification of a model."""

    verification: Verification

    @property
    def exit_code(self) -> int:
        return 1 if self.verification.damages else 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self.verification)

    def view(self) -> str:
        verification = self.verification
        if verification.damages:
            state = f"{len(verification.damages)} of {verification.files} files damaged"
        elif verification.files:
            state = f"{verification.files} files as published"
        else:
            state = "no hash of its files is known"
        return f"{verification.name} for {verification.engine}: {state}, {verification.path}"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
