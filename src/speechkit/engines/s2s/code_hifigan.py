"""The unit HiFi-GAN: units to samples.

The generator of Kong et al. 2020 (https://arxiv.org/abs/2010.05646) over embedded units, as in
Polyak et al. 2021 (https://arxiv.org/abs/2104.00355); modules are named as in the checkpoints of
fairseq, speech-resynthesis and textlesslib, whose numbers it gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

SLOPE = 0.1  # of leaky ReLUs; the last one's is torch's own, 0.01, as in the original


class ResBlock(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_conv(channels, channels, kernel, step) for step in dilations)
        self.convs2 = nn.ModuleList(_conv(channels, channels, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = second(leaky_relu(first(leaky_relu(x, SLOPE)), SLOPE)) + x
        return x


class DurationPredictor(nn.Module):
    """log(1 + frames) of each unit."""

    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv1 = nn.Sequential(nn.Conv1d(width, hidden, kernel, padding=padding), nn.ReLU())
        self.ln1 = nn.LayerNorm(hidden)
        self.conv2 = nn.Sequential(nn.Conv1d(hidden, hidden, kernel, padding=1), nn.ReLU())
        self.ln2 = nn.LayerNorm(hidden)
        self.proj = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, units, width] to [batch, units]."""
        x = self.ln1(self.conv1(x.transpose(1, 2)).transpose(1, 2))
        x = self.ln2(self.conv2(x.transpose(1, 2)).transpose(1, 2))
        logs: Tensor = self.proj(x).squeeze(dim=2)
        return logs


class CodeHiFiGan(nn.Module):
    """The generator. ``config``: the content of the checkpoint's JSON file."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["embedding_dim"]
        channels = config["upsample_initial_channel"]
        self.dict = nn.Embedding(config["num_embeddings"], width)
        self.spkr = self.style = self.dur_predictor = None
        if config.get("multispkr"):
            self.spkr = nn.Embedding(config.get("num_speakers", 200), width)
        if config.get("multistyle"):
            self.style = nn.Embedding(config.get("num_styles", 100), width)
        if durations := config.get("dur_predictor_params"):
            self.dur_predictor = DurationPredictor(
                durations["encoder_embed_dim"],
                durations["var_pred_hidden_dim"],
                durations["var_pred_kernel_size"],
            )
        self.conv_pre = _conv(config.get("model_in_dim", 80), channels, 7)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(
            config["upsample_rates"], config["upsample_kernel_sizes"], strict=True
        ):
            up = nn.ConvTranspose1d(
                channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2
            )
            self.ups.append(up)
            channels //= 2
            self.resblocks.extend(
                ResBlock(channels, size, dilations)
                for size, dilations in zip(
                    config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True
                )
            )
        self.conv_post = _conv(channels, 1, 7)

    def forward(
        self, code: Tensor, spkr: Tensor | None = None, style: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Units [1, frames], speaker and style [1, 1], to samples [1, 1, frames * hop]."""
        x = self.dict(code).transpose(1, 2)
        for embedding, number in ((self.spkr, spkr), (self.style, style)):
            if embedding is not None:
                same = embedding(number).transpose(1, 2).expand(-1, -1, x.shape[-1])
                x = torch.cat([x, same], dim=1)
        x = self.conv_pre(x)
        blocks = len(self.resblocks) // len(self.ups)
        for index, up in enumerate(self.ups):
            x = up(leaky_relu(x, SLOPE))
            first, *others = self.resblocks[index * blocks : (index + 1) * blocks]
            total = first(x)
            for block in others:
                total += block(x)
            x = total / blocks
        return torch.tanh(self.conv_post(leaky_relu(x)))


def _conv(inside: int, outside: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    padding = (kernel - 1) * dilation // 2
    return nn.Conv1d(inside, outside, kernel, dilation=dilation, padding=padding)
