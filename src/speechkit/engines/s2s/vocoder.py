"""Units to speech by any unit HiFi-GAN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechkit.compat import fairseq_checkpoint
from speechkit.engines.padded_batches import PaddedBatches
from speechkit.engines.s2s import vocoder_config
from speechkit.engines.s2s.code_hifigan import CodeHiFiGan
from speechkit.engines.s2s.quantizer import runs
from speechkit.engines.s2s.unit_network import PIECE, RowEnds, UnitNetwork
from speechkit.engines.torch import device as torch_device
from speechkit.engines.valid_items import map_valid
from speechkit.errors import EngineMissing, UnitsInvalid, UsageError, UtteranceError
from speechkit.records import Units

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

CPU_BATCH = 1  # pieces; more were seen to take 3 % longer, for their values leave the caches
UNITS_AT_ONCE = 4_000  # of a batch with its padding, with which a GPU has enough to do
MOST_FRAMES = 720_000  # of an utterance, 4 hours of the usual 20 ms
LONGEST_UNIT = 5000  # frames that one unit may be predicted to last: more is no speech

#: Builds a generator from a checkpoint and its configuration: a module with the parts ``dict`` and
#: ``dur_predictor``, called with ``code`` [rows, frames] and, where it takes them, ``spkr`` and
#: ``style`` [rows, 1]. It gives samples [rows, 1, frames * hop].
Build = Callable[[Path, Mapping[str, Any]], Any]


class Vocoder:
    """A loaded unit vocoder. ``speaker`` and ``style``: numbers, for models with several.
    ``batch_size``: pieces; 0: chosen for the device."""

    def __init__(
        self,
        model: Path,
        config: Path,
        device: torch.device,
        build: Build,
        *,
        batch_size: int = 0,
        speaker: int | None = None,
        style: int | None = None,
    ) -> None:
        self._config = vocoder_config.read(config)
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
        self.batches = PaddedBatches(
            batch_size or _batch_size(device, self._config),
            UNITS_AT_ONCE,
            torch_device.out_of_memory,
            lambda: torch_device.free_memory(device),
        )
        over_units = partial(
            UnitNetwork, ends=RowEnds(self._generator), batches=self.batches, device=device
        )
        hop = math.prod(self._config["upsample_rates"])  # samples a frame
        self._speaking = over_units(self._samples, hop, vocoder_config.context(self._config))
        self._timing = over_units(self._durations, 1, vocoder_config.duration_context(self._config))

    @property
    def seconds(self) -> float:
        return self._timing.seconds + self._speaking.seconds

    def synthesise(
        self, sequences: Sequence[Units], *, predict: bool
    ) -> Iterator[Waveform | UtteranceError]:
        """The samples of each, in order, as soon as they are there, or a `UnitsInvalid`.

        ``predict``: with durations that the vocoder predicts instead of the units' own.
        """
        known = map(self._known, sequences)
        timed = map_valid(known, self._predicted) if predict else known
        return map_valid(map_valid(timed, _frames), self._speaking.values)

    def _known(self, units: Units) -> Units | UtteranceError:
        for wrong in (max(units.units), min(units.units)):
            if not 0 <= wrong < self.units:
                return UnitsInvalid(
                    f"unit {wrong}: the vocoder has the units 0 to {self.units - 1}"
                )
        return units

    def _predicted(self, sequences: Sequence[Units]) -> Iterator[Units | UtteranceError]:
        """The units without repetitions, with predicted durations."""
        numbers = [runs(np.repeat(one.units, one.durations))[0] for one in sequences]
        for units, frames in zip(numbers, self._timing.values(numbers), strict=True):
            if (frames <= LONGEST_UNIT).all():
                durations = frames.clip(min=1).astype(np.int64)
                yield Units(tuple(units.tolist()), tuple(durations.tolist()))
            else:  # it may be no number at all
                yield UnitsInvalid(f"a unit is predicted to last {frames.max():g} frames")

    def _durations(self, code: Tensor) -> Tensor:
        logarithms: Tensor = self._generator.dur_predictor(self._generator.dict(code))
        return torch.round(torch.exp(logarithms) - 1)

    def _samples(self, code: Tensor) -> Tensor:
        conditions = {
            name: number.expand(len(code), 1) for name, number in self._conditions.items()
        }
        samples: Tensor = self._generator(code=code, **conditions)
        return samples[:, 0]

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


def _frames(sequences: Sequence[Units]) -> Iterator[NDArray[np.int64] | UtteranceError]:
    """The unit of each frame."""
    for one in sequences:
        frames = sum(one.durations)
        if frames > MOST_FRAMES:
            yield UnitsInvalid(f"{frames} frames: {MOST_FRAMES} at most are spoken at once")
        else:
            yield np.repeat(np.array(one.units, dtype=np.int64), one.durations)


def _batch_size(device: torch.device, config: Mapping[str, Any]) -> int:
    if device.type == "cpu":
        return CPU_BATCH
    frames = PIECE + 2 * vocoder_config.context(config)
    return torch_device.batch_size(device, frames * vocoder_config.bytes_a_frame(config))


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
