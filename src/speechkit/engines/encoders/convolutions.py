"""HuBERT's convolutions as matrix products: the same sums in another order, faster on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from speechkit.engines.encoders.features import frames_of
from speechkit.engines.torch.device import to_device

FRAMES = 100  # computed at once: their inputs are a few MB, which the caches and malloc reuse
#: Products summed at once by the layers after the first. Fewer products round less and take longer:
#: 128 have 0.7 of the error of 512, and from the third of these layers on they cost little.
TERMS = (512, 512)
FEW_TERMS = 128
WINDOWS = 1 << 20  # of the first layer whose statistics are taken at once


@dataclass(frozen=True, slots=True)
class Affine:
    """A first layer's convolution and normalisation combined.

    ``scale`` [channels] multiplies its weights, ``shift`` [channels] is added.
    """

    scale: Tensor
    shift: Tensor


class NormalisedConvolution:
    """A first layer that normalises each channel over the whole waveform, as one `Affine`.

    A channel's value is w·x for a window x, so its mean is w·E[x] and its variance wᵀ Cov[x] w: the
    normalisation is known before any value. It cancels the convolution's own bias. All of it is
    computed on the CPU.
    """

    def __init__(self, conv: nn.Conv1d, norm: Any) -> None:
        self._kernel, self._stride = conv.kernel_size[0], conv.stride[0]
        self._weight = conv.weight.detach()[:, 0].double().cpu()
        self._norm_weight = norm.weight.detach().double().cpu()
        self._norm_bias = norm.bias.detach().double().cpu()
        self._eps = norm.eps

    def affine(self, waveform: Tensor) -> Affine:
        kernel = self._kernel
        count, total = 0, torch.zeros(kernel).double()
        squares = torch.zeros(kernel, kernel).double()
        for windows in waveform.unfold(0, kernel, self._stride).split(WINDOWS):
            part = windows.double()
            count += len(part)
            total += part.sum(0)
            squares += part.T @ part
        mean = total / count
        covariance = squares / count - mean.outer(mean)
        variance = ((self._weight @ covariance) * self._weight).sum(1).clamp(min=0)
        scale = self._norm_weight / torch.sqrt(variance + self._eps)
        return Affine(scale, self._norm_bias - scale * (self._weight @ mean))


class GivenNorm(nn.Module):
    """Replaces a first layer's normalisation by a given one for each waveform.

    Thus neither padding nor windows change a waveform's features.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.bias = conv.bias
        self.affines: list[Affine] = []

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames]."""
        scales = torch.stack([affine.scale for affine in self.affines])
        shifts = torch.stack([affine.shift for affine in self.affines])
        scale, shift = (to_device(given, x.device).to(x.dtype) for given in (scales, shifts))
        if self.bias is not None:
            shift = shift - scale * self.bias
        return torch.addcmul(shift[..., None], x, scale[..., None])


class Convolutions(nn.Module):
    """A `HubertFeatureEncoder` of transformers whose first layer normalises, for one waveform:
    [1, samples] to [1, channels, frames].

    Each stretch of `FRAMES` passes all layers before the next, so that the memory hardly grows with
    the waveform.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        first, *others = encoder.conv_layers
        self.conv, self.norm, self.activation = first.conv, first.layer_norm, first.activation
        self.others = nn.Sequential(*map(_Convolution, others, chain(TERMS, repeat(FEW_TERMS))))
        convolutions = [layer.conv for layer in encoder.conv_layers]
        self._frames = frames_of([(conv.kernel_size[0], conv.stride[0]) for conv in convolutions])

    def forward(self, waveforms: Tensor) -> Tensor:
        (waveform,) = waveforms
        (affine,) = self.norm.affines
        weight = (self.conv.weight[:, 0] * affine.scale[:, None]).to(waveform)
        shift = affine.shift.to(waveform)
        count = self._frames.count(len(waveform))
        pieces = -(-count // FRAMES)
        edges = [count * number // pieces for number in range(pieces + 1)]
        stretches = (waveform[self._frames.samples(*ends)] for ends in pairwise(edges))
        outputs = [self.others(self._first(stretch, weight, shift)) for stretch in stretches]
        return torch.cat(outputs).T[None]

    def _first(self, samples: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
        """[samples] to [frames, channels]."""
        windows = samples.unfold(0, self.conv.kernel_size[0], self.conv.stride[0])
        output: Tensor = self.activation(linear(windows, weight, shift))
        return output


class _Convolution(nn.Module):
    """A layer after the first, channels last: [time, in] to [frames, out].

    Row n of [frames, kernel * in], whose rows overlap, is the input of frame n. A matrix product
    needs rows that don't overlap, so ``terms`` of their columns are taken at a time, at most as
    many as lie between the beginnings of two rows; thus nothing is copied.
    """

    def __init__(self, layer: Any, terms: int) -> None:
        super().__init__()
        conv = layer.conv
        self.kernel, self.stride, self.terms = conv.kernel_size[0], conv.stride[0], terms
        weight = conv.weight.detach().permute(2, 1, 0).flatten(0, 1).contiguous()
        self.register_buffer("weight", weight, persistent=False)  # [kernel * in, out]
        self.bias = conv.bias
        self.activation = layer.activation

    def forward(self, x: Tensor) -> Tensor:
        hop = self.stride * x.shape[1]
        frames = (len(x) - self.kernel) // self.stride + 1
        first, *others = self.weight.split(min(self.terms, hop))
        sums = linear(x.as_strided((frames, len(first)), (hop, 1)), first.T, self.bias)
        for number, weight in enumerate(others, 1):
            columns = x.as_strided((frames, len(weight)), (hop, 1), number * len(first))
            sums.addmm_(columns, weight)
        output: Tensor = self.activation(sums)
        return output


class PositionalConvolution(nn.Module):
    """A `Conv1d` of stride 1 with a long kernel, by Fourier transforms of overlapping blocks.

    Overlap-save: of a block of n samples that is correlated with k taps all around, the first
    n - k + 1 sums are those of the samples in a row. Longer blocks waste fewer sums but read larger
    weights; n = 3/2 k is good for one second and for ten.
    """

    def __init__(self, conv: Any) -> None:
        super().__init__()
        self.kernel, self.padding, self.groups = conv.kernel_size[0], conv.padding[0], conv.groups
        self.block = 3 * self.kernel // 2
        taps = conv.weight.detach().unflatten(0, (self.groups, -1)).double()
        spectra = torch.fft.rfft(taps, self.block).conj().permute(0, 3, 2, 1).flatten(0, 1)
        weight = spectra.resolve_conj().to(torch.complex64).contiguous()
        self.register_buffer("weight", weight, persistent=False)  # [groups * bins, in, out]
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in, time] to [batch, out, time + 2 * padding - kernel + 1]."""
        batch, _, time = x.shape
        count = time + 2 * self.padding - self.kernel + 1
        step = self.block - self.kernel + 1
        blocks = -(-count // step)
        end = blocks * step + self.kernel - 1 - self.padding - time
        spectra = torch.fft.rfft(pad(x, (self.padding, end)).unfold(2, self.block, step))
        spectra = spectra.unflatten(1, (self.groups, -1)).permute(1, 4, 0, 3, 2)
        rows = spectra.flatten(2, 3).flatten(0, 1)  # [groups * bins, batch * blocks, in]
        products = torch.bmm(rows, self.weight)
        products = products.view(self.groups, -1, batch, blocks, products.shape[2])
        spectra = products.permute(2, 0, 4, 3, 1).flatten(1, 2)  # [batch, out, blocks, bins]
        sums = torch.fft.irfft(spectra, self.block)[..., :step].flatten(2)
        return sums[..., :count] + self.bias[:, None]
