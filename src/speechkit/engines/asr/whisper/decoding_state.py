"""What the decoding loop knows of its rows, in tensors at fixed addresses."""

from __future__ import annotations

from typing import NamedTuple

import torch

from speechkit.engines.asr.whisper.token_rules import TimestampState


class DecodingState(NamedTuple):
    """The state of all rows, each a tensor [rows] but for ``tokens`` [rows, positions].

    ``position``: of the last token; ``last_position``: where a row ends at the latest. ``ended``:
    the row is complete, or empty. ``total``: of the log probabilities of its ``count`` tokens.
    ``no_speech``: probability. The others are those of `TimestampState`.
    """

    tokens: torch.Tensor
    position: torch.Tensor
    last_position: torch.Tensor
    ended: torch.Tensor
    total: torch.Tensor
    count: torch.Tensor
    no_speech: torch.Tensor
    last: torch.Tensor
    before: torch.Tensor
    latest: torch.Tensor

    @staticmethod
    def empty(rows: int, positions: int, device: torch.device) -> DecodingState:
        def zeros(dtype: torch.dtype, *shape: int) -> torch.Tensor:
            return torch.zeros(rows, *shape, dtype=dtype, device=device)

        return DecodingState(
            tokens=zeros(torch.long, positions),
            position=zeros(torch.long),
            last_position=zeros(torch.long),
            ended=~zeros(torch.bool),
            total=zeros(torch.float32),
            count=zeros(torch.float32),
            no_speech=zeros(torch.float32),
            last=zeros(torch.bool),
            before=zeros(torch.bool),
            latest=zeros(torch.long),
        )

    def begin(
        self, prompts: torch.Tensor, last_position: torch.Tensor, no_speech: torch.Tensor, eot: int
    ) -> None:
        """Let all rows begin, after ``prompts`` [rows, n]."""
        length = prompts.shape[1]
        self.tokens.fill_(eot)
        self.tokens[:, :length] = prompts
        self.position.fill_(length - 1)
        self.last_position.copy_(last_position)
        self.no_speech.copy_(no_speech)
        self.ended.fill_(False)

    @property
    def marks(self) -> TimestampState:
        return TimestampState(self.last, self.before, self.latest)

    def first(self, rows: int) -> DecodingState:
        """A view of the first rows."""
        return DecodingState(*(part[:rows] for part in self))

    def put(self, rows: torch.Tensor, other: DecodingState) -> None:
        """Replace the state of ``rows`` by that of the rows of ``other``."""
        for part, new in zip(self, other, strict=True):
            part[rows] = new

    def move(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy rows to others, which leaves them ended."""
        for part in self:
            part[targets] = part[sources]
        self.ended[sources] = True

    def append(self, chosen: torch.Tensor, likely: torch.Tensor, eot: int) -> None:
        """Add the next token of each row that hasn't ended, with its log probability."""
        self.total.add_(likely.masked_fill(self.ended, 0.0))
        self.count.add_(~self.ended)
        kept = self.tokens.gather(1, self.position[:, None])[:, 0]
        token = torch.where(self.ended, kept, chosen)
        self.position.add_(~self.ended)
        self.tokens.scatter_(1, self.position[:, None], token[:, None])
        self.ended.logical_or_((token == eot) | (self.position >= self.last_position))
