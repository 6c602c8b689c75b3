"""The decoding loop: token after token, with all data of a step on the device.

Where rows have ended, the next windows begin in them. On CUDA a step is captured as a graph, once
for each number of rows, span of positions and length of windows, and then replayed; elsewhere it is
called. It works in place, on tensors that are never reallocated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch

from speechkit.engines.asr.whisper.backend import Draft
from speechkit.engines.asr.whisper.decoding_state import DecodingState
from speechkit.engines.asr.whisper.row_schedule import TOGETHER, RowSchedule
from speechkit.engines.asr.whisper.step_graphs import Step, StepGraphs
from speechkit.engines.asr.whisper.token_rules import TokenRules

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Search
    from speechkit.engines.asr.whisper.checkpoint import Generation
    from speechkit.engines.asr.whisper.decoder_layers import DecoderLayers, KeyValueCache
    from speechkit.engines.asr.whisper.vocabulary import Vocabulary

SPANS = (64, 128, 256)  # positions that a step on CUDA attends to; all there are beyond
CHECK_EVERY = 8  # captured steps between looks for rows that have ended: the host waits at each


_Choose = Callable[[torch.Tensor], torch.Tensor]  # tokens [rows] by scores [rows, vocabulary]


def _likeliest(scores: torch.Tensor) -> torch.Tensor:
    return scores.argmax(-1)


class _Sampling:
    """Random tokens by the numbers of a seed.

    The numbers are the same for all rows and come from the CPU, so that the choice depends neither
    on other rows nor on the device.
    """

    def __init__(self, search: Search) -> None:
        self._temperature = search.temperature
        self._random = torch.Generator().manual_seed(search.seed)

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Choose by the Gumbel trick, in which the last bit of a score hardly ever matters."""
        noise = torch.empty(scores.shape[1]).exponential_(generator=self._random)
        noise = noise.clamp_min_(torch.finfo().tiny).log_().to(scores.device)
        return (scores / self._temperature - noise).argmax(-1)


class DecodingLoop:
    """Decodes windows with the layers of a decoder, by the rules of ``generation``."""

    def __init__(
        self, layers: DecoderLayers, vocabulary: Vocabulary, generation: Generation
    ) -> None:
        self._layers = layers
        self._device = self._layers.device
        self._longest: int = layers.config.max_target_positions
        self._vocabulary = vocabulary
        self._rules = TokenRules(vocabulary, generation, layers.config.vocab_size, self._device)
        self._graphs = StepGraphs(self._device) if self._device.type == "cuda" else None
        self.free()

    def free(self) -> None:
        """Release the caches, and the graphs, which point to them."""
        self._caches: list[KeyValueCache] = []
        self._state = self._new_state(0)
        if self._graphs:
            self._graphs.clear()

    @property
    def rows(self) -> int:
        """The rows that have memory."""
        return len(self._state.ended)

    @torch.inference_mode()
    def opening(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits [windows, vocabulary], float32, of the first token of each window.

        ``hidden`` [windows, positions, width]. The token is a language or <|nospeech|>.
        """
        return self._layers.opening(hidden, self._vocabulary.sot).float()

    @torch.inference_mode()
    def decode(
        self,
        hidden: torch.Tensor,
        prompts: list[list[int]],
        search: Search,
        limits: list[int],
        rows: int,
    ) -> list[Draft]:
        """A draft of each window, of at most its limit of tokens; ``rows`` windows at once.

        ``hidden`` [windows, positions, width]; the prompts are equally long. A draft depends on no
        other window. Windows with the highest limits begin first, so that few rows are idle at the
        end; a sampled one is decoded alone, with random numbers of its own.
        """
        continues = self._vocabulary.text_at_end(prompts[0]) > 0
        windows = _Windows(hidden, torch.tensor(prompts, device=self._device), limits, continues)
        stamps = self._vocabulary.no_timestamps not in prompts[0]
        order = sorted(range(len(hidden)), key=lambda window: -limits[window])
        drafts: dict[int, Draft] = {}
        if search.temperature > 0:
            for window in order:
                drafts |= self._decode(windows, [window], 1, stamps, _Sampling(search))
        else:
            drafts |= self._decode(windows, order, rows, stamps, _likeliest)
        return [drafts[window] for window in range(len(hidden))]

    def _decode(
        self, windows: _Windows, order: list[int], rows: int, stamps: bool, choose: _Choose
    ) -> Iterator[tuple[int, Draft]]:
        """The windows of ``order`` with their drafts, as they end."""
        schedule = RowSchedule(order, rows, self._shape)
        self._reserve(schedule.rows)
        start, frames = windows.prompts.shape[1], windows.hidden.shape[1]
        while True:
            entering = list(schedule.enter().items())
            for first in range(0, len(entering), TOGETHER):
                self._begin(windows, entering[first : first + TOGETHER], stamps, choose)
            if not schedule.busy:
                return
            for _ in range(CHECK_EVERY if self._graphs else 1):
                span = min(start + schedule.steps + 1, self._longest)
                self._advance(Step(schedule.rows, span, stamps, frames), choose)
                schedule.advance()
            ended = self._state.ended.tolist()
            done = [row for row in schedule.busy if ended[row]]
            for row, draft in zip(done, self._drafts(done, start), strict=True):
                yield schedule.leave(row), draft
            if moves := schedule.close_up():
                sources, targets = torch.tensor(moves, device=self._device).T
                self._state.move(sources, targets)
                for cache in self._caches:
                    cache.move(sources, targets)

    def _shape(self, windows: int) -> int:
        """The rows of a step for so many windows: for a captured one, the next power of two.

        `RowSchedule` has no more than the rows of the call.
        """
        return 1 << (windows - 1).bit_length() if self._graphs else windows

    def _reserve(self, rows: int) -> None:
        """Have memory for ``rows``, all of them empty."""
        if rows > self.rows:
            self.free()
            self._caches = self._layers.caches(rows)
            self._state = self._new_state(rows)
        self._state.ended.fill_(True)

    def _new_state(self, rows: int) -> DecodingState:
        return DecodingState.empty(rows, self._longest, self._device)

    def _begin(
        self, windows: _Windows, entering: list[tuple[int, int]], stamps: bool, choose: _Choose
    ) -> None:
        """Decode the first token of windows, each with the row that it enters."""
        rows, chosen = torch.tensor(entering, device=self._device).T
        prompts = windows.prompts[chosen]
        sot = self._vocabulary.sot
        logits = self._layers.prefill(windows.hidden[chosen], prompts, sot, self._caches, rows)
        last = [prompts.shape[1] - 1 + windows.limits[window] for _, window in entering]
        state = self._new_state(len(entering))
        state.begin(
            prompts,
            torch.tensor(last, device=self._device).clamp_(max=self._longest - 1),
            logits[:, 1].float().softmax(-1)[:, self._vocabulary.no_speech],
            self._vocabulary.eot,
        )
        self._rules.begin(state.marks)
        self._append(state, logits[:, 0], stamps, choose, first=not windows.continues)
        self._state.put(rows, state)

    def _advance(self, step: Step, choose: _Choose) -> None:
        if self._graphs:
            spans = (span for span in SPANS if step.span <= span < self._longest)
            step = step._replace(span=next(spans, self._longest))
        if self._graphs and choose is _likeliest:
            self._graphs.replay(step, self._step)
        else:
            self._step(step, choose)

    def _step(self, step: Step, choose: _Choose = _likeliest) -> None:
        """Decode another token for each row."""
        state = self._state.first(step.rows)
        token = state.tokens.gather(1, state.position[:, None])[:, 0]
        logits = self._layers(token, state.position, step.span, step.frames, self._caches)
        self._append(state, logits, step.stamps, choose, first=False)

    def _append(
        self, state: DecodingState, logits: torch.Tensor, stamps: bool, choose: _Choose, first: bool
    ) -> None:
        marks = state.marks if stamps else None
        scores = self._rules.allowed(logits, marks, first)
        chosen = choose(scores)
        likely = scores.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
        state.append(chosen, likely, self._vocabulary.eot)
        if marks:
            self._rules.note(marks, chosen, first)

    def _drafts(self, rows: list[int], start: int) -> list[Draft]:
        """The drafts of ``rows``, whose prompts end before ``start``."""
        if not rows:
            return []
        state = self._state
        tokens = state.tokens[rows, start:].tolist()
        numbers = torch.stack([state.total / state.count, state.no_speech], 1)[rows].tolist()
        return [
            Draft(before_end(said, self._vocabulary.eot), mean, no_speech)
            for said, (mean, no_speech) in zip(tokens, numbers, strict=True)
        ]


class _Windows(NamedTuple):
    """Encoded windows ``hidden`` [windows, positions, width], their ``prompts`` [windows, n], and
    their limits of tokens. ``continues``: the prompts end in text, which the drafts continue."""

    hidden: torch.Tensor
    prompts: torch.Tensor
    limits: list[int]
    continues: bool


def before_end(tokens: list[int], eot: int) -> list[int]:
    """The tokens before the first end, or all."""
    return tokens[: tokens.index(eot)] if eot in tokens else tokens
