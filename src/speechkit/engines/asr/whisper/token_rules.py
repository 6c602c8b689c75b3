"""Rules for the next token: generate()'s logits processors without a copy to the host.

Timestamps come in pairs and never go back, as in whisper/decoding.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.checkpoint import Generation
    from speechkit.engines.asr.whisper.vocabulary import Vocabulary


class TimestampState(NamedTuple):
    """The timestamps of each row so far.

    ``last``: its last token is one; ``before``: the token before is one, or there is none;
    ``latest``: its latest one.
    """

    last: torch.Tensor
    before: torch.Tensor
    latest: torch.Tensor


class TokenRules:
    """The rules of ``generation``: suppressed tokens, first timestamp."""

    def __init__(
        self, vocabulary: Vocabulary, generation: Generation, size: int, device: torch.device
    ) -> None:
        self._eot, self._stamp, self._size = vocabulary.eot, vocabulary.timestamps, size
        self._ids = torch.arange(size, device=device)
        always = list(generation.suppress_tokens)
        first = always + list(generation.begin_suppress_tokens)
        stamps = [*range(self._stamp + generation.max_initial_timestamp_index + 1, size)]
        self._masks = {  # by whether there are timestamps, and whether it is the first token
            (False, False): self._mask(always),
            (False, True): self._mask(first),
            (True, False): self._mask([*always, vocabulary.no_timestamps]),
            (True, True): self._mask([*first, *range(self._stamp), *stamps]),
        }

    def _mask(self, tokens: list[int]) -> torch.Tensor:
        mask = torch.zeros(self._size)
        mask[tokens] = -torch.inf
        return mask.to(self._ids.device)

    def begin(self, marks: TimestampState) -> None:
        marks.last.fill_(False)
        marks.before.fill_(True)
        marks.latest.fill_(self._stamp - 1)

    def allowed(
        self, logits: torch.Tensor, marks: TimestampState | None, first: bool
    ) -> torch.Tensor:
        """``logits`` [rows, vocabulary] in float32, with -inf for tokens that are not allowed."""
        scores = logits + self._masks[marks is not None, first]
        if marks is not None and not first:
            self._pair(scores, marks)
        return scores

    def _pair(self, scores: torch.Tensor, marks: TimestampState) -> None:
        text, stamps = scores[:, : self._stamp], scores[:, self._stamp :]
        opens = marks.last & ~marks.before
        least = torch.where(opens, marks.latest, marks.latest + 1)
        least = least.masked_fill(marks.last & marks.before, self._size)
        stamps.masked_fill_(self._ids[self._stamp :] < least[:, None], -torch.inf)
        text[:, : self._eot].masked_fill_(opens[:, None], -torch.inf)
        likelier = stamps.logsumexp(-1) > text.amax(-1)
        text.masked_fill_(likelier[:, None], -torch.inf)

    def note(self, marks: TimestampState, chosen: torch.Tensor, first: bool) -> None:
        marks.before.copy_(torch.ones_like(marks.last) if first else marks.last)
        torch.ge(chosen, self._stamp, out=marks.last)
        marks.latest.copy_(torch.where(marks.last, chosen, marks.latest))
