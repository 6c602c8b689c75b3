"""The decoding loop: token after token, with all data of a step on the device.

On CUDA a step is captured as a graph, once for each number of rows and span of positions, and then
replayed; elsewhere it is called. It works in place, on tensors that are never reallocated.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from speechkit.engines.asr.whisper.token_rules import TimestampState, TokenRules

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Search
    from speechkit.engines.asr.whisper.checkpoint import Generation
    from speechkit.engines.asr.whisper.decoder_layers import DecoderLayers, KeyValueCache
    from speechkit.engines.asr.whisper.vocabulary import Vocabulary

SPANS = (64, 128, 256)  # positions that a captured step attends to; all there are beyond
CHECK_EVERY = 8  # captured steps between checks for the end: the host waits at each
EVEN = 8  # a captured step has a power of two of rows up to here, and multiples of it beyond


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
        self._graphs = _Graphs(self._device) if self._device.type == "cuda" else None
        self.free()

    def free(self) -> None:
        """Release the caches, and the graphs, which point to them."""
        self._caches: list[KeyValueCache] = []
        self._state: _State | None = None
        self._hidden: torch.Tensor | None = None
        if self._graphs:
            self._graphs.clear()

    @torch.inference_mode()
    def opening(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits [windows, vocabulary], float32, of the first token of each window.

        ``hidden`` [windows, positions, width]. The token is a language or <|nospeech|>.
        """
        self._encode_into_caches(hidden)
        start = torch.full((len(hidden), 1), self._vocabulary.sot, device=self._device)
        return self._layers(start, torch.zeros_like(start), 1, self._caches).float()

    @torch.inference_mode()
    def decode(
        self, hidden: torch.Tensor, prompts: list[list[int]], search: Search, most: int
    ) -> list[tuple[list[int], float]]:
        """The tokens of each window without the end, and their mean log probability.

        The mean includes the end. The results of a window depend on no other window.
        """
        self._encode_into_caches(hidden)
        start = len(prompts[0])
        stop = min(self._longest, start + most)
        stamps = self._vocabulary.no_timestamps not in prompts[0]
        step = _Step(self._rows(len(hidden)), start, stamps)
        choose = _Sampling(search) if search.temperature > 0 else _likeliest
        state = self._begin(step, prompts, choose)
        for position in range(start, stop - 1):
            checks = not self._graphs or (position - start) % CHECK_EVERY == 0
            if checks and bool(state.ended.all()):
                break
            self._advance(step._replace(span=position + 1), choose)
        tokens = state.tokens[: len(hidden), start:stop].tolist()
        means = (state.total / state.count)[: len(hidden)].tolist()
        return [
            (until(row, self._vocabulary.eot), mean)
            for row, mean in zip(tokens, means, strict=True)
        ]

    def _rows(self, windows: int) -> int:
        """The rows of a step for so many windows."""
        if not self._graphs:
            return windows
        if windows <= EVEN:
            return 1 << (windows - 1).bit_length()
        return -(-windows // EVEN) * EVEN

    def _encode_into_caches(self, hidden: torch.Tensor) -> None:
        """Fill the caches for ``hidden``, unless they are filled for it already."""
        if self._hidden is hidden:
            return
        rows = self._rows(len(hidden))
        if self._state is None or rows > len(self._state.ended):
            self.free()
            self._caches = self._layers.caches(rows)
            self._state = _State.of(rows, self._longest, self._rules.marks(rows), self._device)
        self._layers.fill_audio(hidden, self._caches)
        self._hidden = hidden

    def _begin(self, step: _Step, prompts: list[list[int]], choose: _Choose) -> _State:
        """The state of ``step`` after the first token; rows without a window have ended."""
        assert self._state is not None
        state = self._state[: step.rows]
        state.reset(self._vocabulary.eot)
        self._rules.begin(state.marks)
        windows, length = len(prompts), step.span
        state.position.fill_(length - 1)
        state.ended[windows:].fill_(True)
        state.tokens[:windows, :length] = torch.tensor(prompts, device=self._device)
        tokens = state.tokens[:, :length]
        positions = torch.arange(length, device=self._device).expand_as(tokens)
        logits = self._layers(tokens, positions, length, self._caches)
        self._append(step, logits, choose, first=True)
        return state

    def _advance(self, step: _Step, choose: _Choose) -> None:
        if self._graphs and choose is _likeliest:
            spans = (span for span in SPANS if step.span <= span < self._longest)
            self._graphs.replay(step._replace(span=next(spans, self._longest)), self._step)
        else:
            self._step(step, choose)

    def _step(self, step: _Step, choose: _Choose = _likeliest) -> None:
        """Decode another token for each row."""
        assert self._state is not None
        state = self._state[: step.rows]
        position = state.position[:, None]
        token = state.tokens.gather(1, position)
        logits = self._layers(token, position, step.span, self._caches)
        self._append(step, logits, choose, first=False)

    def _append(self, step: _Step, logits: torch.Tensor, choose: _Choose, first: bool) -> None:
        assert self._state is not None
        state = self._state[: step.rows]
        marks = state.marks if step.stamps else None
        scores = self._rules.allowed(logits, marks, first)
        chosen = choose(scores)
        likely = scores.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
        state.append(chosen, likely, self._vocabulary.eot)
        if marks:
            self._rules.note(marks, chosen, first)


class _Step(NamedTuple):
    """The shape of a captured step: its rows, the positions they attend to, and whether there are
    timestamps."""

    rows: int
    span: int
    stamps: bool


@dataclass(frozen=True, slots=True)
class _State:
    """The state of all rows: their ``tokens`` [rows, positions], the ``position`` of the last one.

    ``ended``: the row is complete; ``total``: of the log probabilities of its ``count`` tokens.
    """

    tokens: torch.Tensor
    position: torch.Tensor
    ended: torch.Tensor
    total: torch.Tensor
    count: torch.Tensor
    marks: TimestampState

    @staticmethod
    def of(rows: int, positions: int, marks: TimestampState, device: torch.device) -> _State:
        return _State(
            torch.zeros(rows, positions, dtype=torch.long, device=device),
            torch.zeros(rows, dtype=torch.long, device=device),
            torch.zeros(rows, dtype=torch.bool, device=device),
            torch.zeros(rows, device=device),
            torch.zeros(rows, device=device),
            marks,
        )

    def __getitem__(self, rows: slice) -> _State:
        return _State(
            self.tokens[rows],
            self.position[rows],
            self.ended[rows],
            self.total[rows],
            self.count[rows],
            self.marks[rows],
        )

    def reset(self, eot: int) -> None:
        self.tokens.fill_(eot)
        self.ended.fill_(False)
        self.total.zero_()
        self.count.zero_()

    def append(self, chosen: torch.Tensor, likely: torch.Tensor, eot: int) -> None:
        """Add the next token of each row that hasn't ended, with its log probability."""
        self.total.add_(likely.masked_fill(self.ended, 0.0))
        self.count.add_(~self.ended)
        token = chosen.masked_fill(self.ended, eot)
        self.ended.logical_or_(token == eot)
        self.position.add_(1)
        self.tokens.scatter_(1, self.position[:, None], token[:, None])


class _Graphs:
    """Steps captured as CUDA graphs, which share a pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # the default one can't be captured
        self.clear()

    def clear(self) -> None:
        self._graphs: dict[_Step, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def replay(self, step: _Step, work: Callable[[_Step], None]) -> None:
        """Replay ``work(step)``.

        The first time it is called before it is captured, because a capture can't load kernels.
        """
        if step in self._graphs:
            self._graphs[step].replay()
            return
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            work(step)
            self._graphs[step] = self._captured(step, work)
        here.wait_stream(self._stream)

    def _captured(self, step: _Step, work: Callable[[_Step], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._stream.device)
        # Features are computed in another thread, which may use the device meanwhile.
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            work(step)
        except Exception:
            with suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()
        return graph


def until(tokens: list[int], eot: int) -> list[int]:
    """The tokens before the first end, or all."""
    return tokens[: tokens.index(eot)] if eot in tokens else tokens
