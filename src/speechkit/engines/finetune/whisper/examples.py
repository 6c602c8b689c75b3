"""Examples of a training as tensors: what the model is given, and what it has to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechkit.engines.encoders.log_mel import LogMel
from speechkit.engines.finetune.protocol import TrainingExample
from speechkit.engines.finetune.whisper import spec_augment
from speechkit.engines.finetune.whisper.precision import full_float32
from speechkit.engines.mel_filters import HOP
from speechkit.engines.torch.device import to_device


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """``features`` [examples, mels, frames]; ``inputs`` [examples, longest], what the decoder is
    given; ``targets`` [tokens], what it has to say at the positions ``places`` [tokens] of
    ``inputs.flatten()``. The rest of the inputs is padding, after which nothing follows."""

    features: Tensor
    inputs: Tensor
    targets: Tensor
    places: Tensor


def batches(examples: Sequence[TrainingExample], size: int) -> Iterator[list[TrainingExample]]:
    """The examples in parts of ``size``, of about the same length; the longest come first, so that
    a lack of memory shows at once."""
    ordered = sorted(examples, key=lambda example: -len(example.tokens))
    for first in range(0, len(ordered), size):
        yield ordered[first : first + size]


class Tensors:
    """Makes a batch of examples for a window of ``frames`` in ``mels`` bands.

    ``start``: the token that opens a transcript.
    """

    def __init__(
        self, mels: int, frames: int, start: int, device: torch.device, *, augment: bool
    ) -> None:
        self._log_mel = LogMel(mels, device)
        self._frames = frames
        self._start = start
        self._device = device
        self._augment = augment

    def __call__(self, examples: Sequence[TrainingExample]) -> Batch:
        said = [torch.tensor(example.tokens) for example in examples]
        given = [torch.tensor((self._start, *example.tokens[:-1])) for example in examples]
        inputs = pad_sequence(given, batch_first=True)
        rows = [row * inputs.shape[1] + torch.arange(len(one)) for row, one in enumerate(said)]
        targets, places = torch.cat(said), torch.cat(rows)
        inputs, targets, places = (
            to_device(one, self._device) for one in (inputs, targets, places)
        )
        return Batch(self._features(examples), inputs, targets, places)

    def _features(self, examples: Sequence[TrainingExample]) -> Tensor:
        waveforms = [torch.from_numpy(example.waveform) for example in examples]
        padded = pad_sequence(waveforms, batch_first=True)
        with full_float32():
            features = self._log_mel(to_device(padded, self._device), self._frames)
        if self._augment:
            for row, example in zip(features, examples, strict=True):
                heard = min(-(-len(example.waveform) // HOP), self._frames)
                spec_augment.mask(row, heard, example.seed)
        return features
