"""Batches through a model's own parts, without the loaders and the set-up of `transcribe()`.

For models of CTC and transducers, hybrids and those conditioned on a language among them. What they
give is what `transcribe()` gives.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from speechkit.engines.asr.nemo import prompts
from speechkit.engines.stopwatch import Stopwatch
from speechkit.engines.torch import device as torch_device

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

log = logging.getLogger(__name__)

#: Windows that a transducer's decoder takes at once, and their frames. Its CUDA graph has fixed
#: sizes, and is captured again for a larger batch.
DECODER_ROWS = 128
DECODER_FRAMES = 96_000


class Forward:
    """Maps windows at the model's sample rate to NeMo's hypotheses."""

    def __init__(self, model: Any, language: str | None, most_frames: int) -> None:
        """``most_frames``: of the encoder's output, for the longest window."""
        self._model = model
        self._most_frames = most_frames
        self._rows = max(1, min(DECODER_ROWS, DECODER_FRAMES // most_frames))
        self._has_captured = False
        self._device = next(model.parameters()).device
        self._prompt = prompts.index(model, language)
        self._stopwatch = Stopwatch(lambda: torch_device.synchronize(self._device))
        featurizer: Any = getattr(model.preprocessor, "featurizer", None)
        if hasattr(featurizer, "pad_to"):
            featurizer.pad_to = 0  # as in transcribe()

    @property
    def parts(self) -> Mapping[str, float]:
        """Seconds of each part of the work so far."""
        return dict(self._stopwatch.parts)

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Waveform]) -> list[Any]:
        with self._stopwatch.part("features"):
            signals, lengths = self._padded(windows)
            features, lengths = self._model.preprocessor(input_signal=signals, length=lengths)
        with self._stopwatch.part("encoder"):
            options = {}
            if self._prompt is not None:
                options["prompt_indices"] = torch.full_like(lengths, self._prompt)
            encoded, lengths, *_ = self._model.forward(
                processed_signal=features, processed_signal_length=lengths, **options
            )
        with self._stopwatch.part("decoder"):
            return self._decoded(encoded, lengths)

    def _padded(self, windows: Sequence[Waveform]) -> tuple[torch.Tensor, torch.Tensor]:
        """(windows, samples of the longest), and the number of samples of each, on the device."""
        lengths = torch.tensor([len(window) for window in windows])
        shape = len(windows), int(lengths.max())
        signals = torch.zeros(shape, pin_memory=self._device.type == "cuda")
        for row, window in zip(signals, windows, strict=True):
            row[: len(window)] = torch.from_numpy(window)
        return signals.to(self._device, non_blocking=True), lengths.to(self._device)

    def _decoded(self, encoded: torch.Tensor, lengths: torch.Tensor) -> list[Any]:
        decoding = self._model.decoding
        if not hasattr(self._model, "joint"):
            found = decoding.ctc_decoder_predictions_tensor(
                encoded, decoder_lengths=lengths, return_hypotheses=True
            )
            return list(found)
        if encoded.is_cuda and not self._has_captured:
            self._capture(encoded, lengths)
            self._has_captured = True
        rows = zip(encoded.split(self._rows), lengths.split(self._rows), strict=True)
        return [hypothesis for some in rows for hypothesis in self._of_transducer(*some)]

    def _of_transducer(self, encoded: torch.Tensor, lengths: torch.Tensor) -> Any:
        decode = self._model.decoding.rnnt_decoder_predictions_tensor
        return decode(encoded, lengths, return_hypotheses=True)

    def _capture(self, encoded: torch.Tensor, lengths: torch.Tensor) -> None:
        """Have the decoder's CUDA graph captured, for half as many rows where memory runs out.

        If it doesn't suffice for any, decode without a graph.
        """
        most = rows = self._rows
        while rows and not self._has_room(rows, encoded, lengths):
            self._model.disable_cuda_graphs()  # which releases what has been captured
            torch_device.free_memory(self._device)
            rows //= 2
            if rows:
                self._model.maybe_enable_cuda_graphs()
        self._rows = rows or most
        if rows < most:
            instead = f"one of {rows}" if rows else "none"
            log.warning("out of memory for a graph of %d windows; %s from now on", most, instead)

    def _has_room(self, rows: int, encoded: torch.Tensor, lengths: torch.Tensor) -> bool:
        """Decode rows of silence, as long as any can be. Return whether memory suffices."""
        _, width, frames = encoded.shape
        try:
            silence = encoded.new_zeros(rows, width, max(frames, self._most_frames))
            self._of_transducer(silence, lengths.new_ones(rows))
        except Exception as e:
            if torch_device.out_of_memory(e):
                return False
            raise
        return True
