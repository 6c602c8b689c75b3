"""The configuration of a unit HiFi-GAN, and what it says of the generator's reach and memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

from speechkit.errors import EngineMissing

MOST_BYTES = 1 << 20  # of a configuration
MOST_STAGES = 16  # upsampling ones, kernels, and dilations of each; the published ones have 5 and 3
MOST = 65_536  # of any of its numbers, such as units or channels
NEEDED = (
    *("num_embeddings", "embedding_dim", "upsample_initial_channel", "upsample_rates"),
    *("upsample_kernel_sizes", "resblock_kernel_sizes", "resblock_dilation_sizes"),
)
#: Lists with an entry for each stage, and for each block.
PAIRS = (
    ("upsample_rates", "upsample_kernel_sizes"),
    ("resblock_kernel_sizes", "resblock_dilation_sizes"),
)
AT_ONCE = 8  # tensors of the widest stage that are held at once, about

#: What some vocoders need beside units, by the key of the configuration that asks for it.
INPUTS_BESIDE_UNITS = {"f0": "a pitch contour", "embedder_params": "a speaker's embedding"}


def read(path: Path) -> dict[str, Any]:
    """The configuration of a unit HiFi-GAN. Raise `EngineMissing` where the file holds none."""
    config = _json_object(path)
    missing = [name for name in NEEDED if name not in config]
    if missing:
        raise EngineMissing(f"--vocoder-config {path}: says nothing of {', '.join(missing)}")
    for key, input_name in INPUTS_BESIDE_UNITS.items():
        if config.get(key):
            raise EngineMissing(
                f"--vocoder-config {path}: this vocoder needs {input_name}, which units don't carry"
            )
    try:
        _require_sizes([config[name] for name in NEEDED])
        _require_pairs(config)
        context(config)
        rates = list(zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True))
        is_odd = any(rate < 1 or kernel < rate or (kernel - rate) % 2 for rate, kernel in rates)
    except (TypeError, ValueError, ZeroDivisionError) as e:
        raise EngineMissing(f"--vocoder-config {path}: its sizes fit no generator: {e}") from e
    if is_odd:
        raise EngineMissing(
            f"--vocoder-config {path}: upsample_kernel_sizes must be as even or odd as "
            "upsample_rates, or frames and samples don't agree"
        )
    return config


def _json_object(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            config = json.loads(file.read(MOST_BYTES))
    except FileNotFoundError as e:
        raise EngineMissing(f"--vocoder-config {path}: no such file") from e
    except (OSError, ValueError, RecursionError) as e:
        raise EngineMissing(f"--vocoder-config {path}: not a configuration in JSON: {e}") from e
    if not isinstance(config, dict):
        raise EngineMissing(f"--vocoder-config {path}: not a configuration in JSON")
    return config


def _require_sizes(sizes: Any, depth: int = 0) -> None:
    """Raise `ValueError` for lists longer, and numbers larger, than those of a generator."""
    for size in sizes:
        if isinstance(size, list) and depth < 2:
            if len(size) > MOST_STAGES:
                raise ValueError(f"a list of {len(size)}, {MOST_STAGES} at most are known")
            _require_sizes(size, depth + 1)
        elif isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST:
            raise ValueError(f"{size!r:.40}, not a whole number from 1 to {MOST}")


def _require_pairs(config: Mapping[str, Any]) -> None:
    for one, other in PAIRS:
        if len(config[one]) != len(config[other]):
            raise ValueError(f"{one} and {other} are of unequal length")


def context(config: Mapping[str, Any]) -> int:
    """The number of frames on either side that a frame's samples depend on, at most."""
    blocks = max(
        sum((kernel - 1) * (dilation + 1) // 2 for dilation in dilations)
        for kernel, dilations in zip(
            config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True
        )
    )
    reach = 3  # of the last convolution, in samples; then back, in the steps of each stage
    rates = zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True)
    for rate, kernel in reversed(list(rates)):
        reach = -(-(reach + blocks + kernel) // rate)
    return reach + 3


def duration_context(config: Mapping[str, Any]) -> int:
    """The number of units on either side that a predicted duration depends on, at most."""
    predictor = config.get("dur_predictor_params") or {}
    return int(predictor.get("var_pred_kernel_size", 0))


def bytes_a_frame(config: Mapping[str, Any]) -> int:
    """The memory of a generator at its widest, about."""
    channels = config["upsample_initial_channel"]
    samples = accumulate(config["upsample_rates"], mul)
    widest = max((channels >> stage) * count for stage, count in enumerate(samples, 1))
    return 4 * AT_ONCE * int(widest)
