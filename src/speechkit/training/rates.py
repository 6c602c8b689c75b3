"""The error rates of a model on a set of utterances, as a training keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from speechkit.scoring.results import Group

Of = TypeVar("Of", bound="Rates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """WER and CER, as `scoring` counts them; ``failed`` utterances are empty hypotheses.

    ``reference``: words or characters of the references, of the ``figure`` to quote, "wer" or
    "cer", which depends on their script.
    """

    wer: float
    cer: float
    utterances: int
    failed: int
    reference: int = 0
    figure: str = "wer"

    @property
    def quoted(self) -> float:
        return self.cer if self.figure == "cer" else self.wer

    @classmethod
    def of(cls: type[Of], group: Group, **more: Any) -> Of:
        """Those of a group that has words in its references."""
        counts = group.chars if group.letters.figure == "cer" else group.words
        return cls(
            wer=group.words.rate or 0.0,
            cer=group.chars.rate or 0.0,
            utterances=group.utterances,
            failed=group.failed,
            reference=counts.reference,
            figure=group.letters.figure,
            **more,
        )
