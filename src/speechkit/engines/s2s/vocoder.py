"""Units to speech by any unit HiFi-GAN; long utterances in pieces that join without a seam."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechkit.compat import fairseq_checkpoint
from speechkit.engines.batch_size import BatchSize
from speechkit.engines.s2s.code_hifigan import CodeHiFiGan
from speechkit.engines.torch import device as torch_device
from speechkit.errors import EngineMissing, UnitsInvalid, UsageError

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

PIECE = 500  # frames synthesised at once, 10 s of the usual 20 ms; halved where memory runs out
MOST_FRAMES = 720_000  # of an utterance, 4 hours of the usual 20 ms
MOST_BYTES = 1 << 20  # of a configuration
MOST_STAGES = 16  # upsampling ones, kernels, and dilations of each; the published ones have 5 and 3
MOST = 65_536  # of any of its numbers, such as units or channels
LONGEST_UNIT = 5000  # frames that one unit may be predicted to last: more is no speech
NEEDED = (
    *("num_embeddings", "embedding_dim", "upsample_initial_channel", "upsample_rates"),
    *("upsample_kernel_sizes", "resblock_kernel_sizes", "resblock_dilation_sizes"),
)

#: What some vocoders need beside units, by the key of the configuration that asks for it.
INPUTS_BESIDE_UNITS = {"f0": "a pitch contour", "embedder_params": "a speaker's embedding"}

#: Builds a generator from a checkpoint and its configuration: a module with the parts ``dict`` and
#: ``dur_predictor``, called with ``code`` [1, frames] and, where it takes them, ``spkr`` and
#: ``style`` [1, 1].
Build = Callable[[Path, Mapping[str, Any]], Any]


class Vocoder:
    """A loaded unit vocoder. ``speaker`` and ``style``: numbers, for models with several."""

    def __init__(
        self,
        model: Path,
        config: Path,
        device: torch.device,
        build: Build,
        *,
        speaker: int | None = None,
        style: int | None = None,
    ) -> None:
        self._config = read_config(config)
        self._device = device
        self._conditions = {
            name: torch.tensor([[number]], device=device)
            for name, number in (
                ("spkr", self._number("speaker", "multispkr", "num_speakers", 200, speaker)),
                ("style", self._number("style", "multistyle", "num_styles", 100, style)),
            )
            if number is not None
        }
        self._generator: Any = build(model, self._config).to(device).eval()
        self.units: int = self._config["num_embeddings"]
        self.sample_rate = int(self._config.get("sampling_rate", 16_000))
        self.predicts_durations = self._generator.dur_predictor is not None
        self.hop = math.prod(self._config["upsample_rates"])  # samples a frame
        self._context = context(self._config)
        self._pieces = BatchSize(
            PIECE, torch_device.out_of_memory, lambda: torch_device.free_memory(device)
        )
        self.seconds = 0.0

    def require_units(self, units: NDArray[np.int64]) -> None:
        """Raise `UnitsInvalid` for units that the vocoder was not trained on."""
        if units.size and not 0 <= units.min() <= units.max() < self.units:
            wrong = units.max() if units.max() >= self.units else units.min()
            raise UnitsInvalid(f"unit {wrong}: the vocoder has the units 0 to {self.units - 1}")

    @torch.inference_mode()
    def predicted(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """The predicted number of frames of each unit, of which none repeats the one before."""
        code = torch.from_numpy(units).to(self._device)[None]
        logs = self._generator.dur_predictor(self._generator.dict(code))
        exact = torch.round(torch.exp(logs) - 1)[0]
        if not bool((exact <= LONGEST_UNIT).all()):  # or no number at all
            raise UnitsInvalid(f"a unit is predicted to last {exact.max().item():g} frames")
        frames: NDArray[np.int64] = exact.clamp(min=1).long().cpu().numpy()
        return frames

    def synthesise(self, frames: NDArray[np.int64]) -> Waveform:
        """The samples of units, one unit a frame, `hop` samples each.

        Raise `UnitsInvalid` for more than `MOST_FRAMES`.
        """
        if len(frames) > MOST_FRAMES:
            raise UnitsInvalid(f"{len(frames)} frames: {MOST_FRAMES} at most are spoken at once")
        began = time.monotonic()
        samples = self._pieces.map_halving(
            range(len(frames)), lambda part: self._piece(frames, part)
        )
        self.seconds += time.monotonic() - began
        return np.concatenate(samples)

    @torch.inference_mode()
    def _piece(self, frames: NDArray[np.int64], part: Sequence[int]) -> list[Waveform]:
        """The samples of each frame of ``part``, computed with all frames they depend on."""
        first = max(0, part[0] - self._context)
        last = min(len(frames), part[-1] + 1 + self._context)
        code = torch.from_numpy(frames[first:last]).to(self._device)[None]
        samples: Tensor = self._generator(code=code, **self._conditions).flatten()
        if len(samples) != (last - first) * self.hop:
            raise RuntimeError(
                f"the vocoder has made {len(samples)} samples of {last - first} frames of "
                f"{self.hop}"
            )
        rows = samples.float().cpu().numpy().reshape(-1, self.hop)
        return list(rows[part[0] - first : part[-1] + 1 - first])

    def _number(
        self, option: str, switch: str, count_key: str, default: int, number: int | None
    ) -> int | None:
        """The number of a speaker or style; None for a vocoder with only one of them."""
        if not self._config.get(switch):
            if number is not None:
                raise UsageError(f"--{option} {number}: this vocoder has but one {option}")
            return None
        count = int(self._config.get(count_key, default))
        if number is None or not 0 <= number < count:
            raise UsageError(
                f"--{option} {'is needed' if number is None else number}: this vocoder has the "
                f"{option}s 0 to {count - 1}"
            )
        return number


def read_config(path: Path) -> dict[str, Any]:
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
        context(config)
        rates = list(zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True))
        is_odd = any(rate < 1 or kernel < rate or (kernel - rate) % 2 for rate, kernel in rates)
    except (TypeError, ValueError, ZeroDivisionError) as e:
        raise EngineMissing(f"--vocoder-config {path}: its sizes are no numbers: {e}") from e
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


def build(model: Path, config: Mapping[str, Any]) -> CodeHiFiGan:
    """Our own generator with the weights of a checkpoint. Raise `EngineMissing`."""
    weights = read_weights(model)
    try:
        with torch.device("meta"):  # nothing is allocated for what a configuration says
            generator = CodeHiFiGan(config)
        generator.load_state_dict(_without_weight_norm(weights), assign=True)
    except (RuntimeError, TypeError, ValueError, KeyError, ZeroDivisionError) as e:
        raise EngineMissing(
            f"{model}: does not fit its --vocoder-config: {' '.join(str(e).split())[:200]}"
        ) from e
    return generator


def read_weights(model: Path) -> dict[str, Tensor]:
    """The weights of a generator as they were saved. Raise `EngineMissing`."""
    state = fairseq_checkpoint.load_inert(model)
    weights = state.get("generator") if isinstance(state, dict) else None
    if not isinstance(weights, dict) or not fairseq_checkpoint.are_weights(weights):
        raise EngineMissing(f"{model}: holds no 'generator'; not a checkpoint of a unit HiFi-GAN")
    return weights


def _without_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights from directions and lengths, as torch's remove_weight_norm computes them."""
    plain = {}
    for name, value in weights.items():
        if name.endswith(".weight_v"):
            length = weights[name.removesuffix("v") + "g"]
            plain[name.removesuffix("_v")] = torch._weight_norm(value.float(), length.float(), 0)
        elif not name.endswith(".weight_g"):
            plain[name] = value.float()
    return plain
