"""The measures of a file's sound, taken block by block as it is decoded."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.errors import AudioInvalid
from speechkit.stages.validate.channels import Channels
from speechkit.stages.validate.clipping import Clipping
from speechkit.stages.validate.dropouts import Dropouts
from speechkit.stages.validate.framing import Framing, Rows
from speechkit.stages.validate.levels import Levels
from speechkit.stages.validate.loudness import Loudness
from speechkit.stages.validate.spectrum import Spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray


LARGEST = 10.0  # +20 dBFS: samples beyond are integers that were stored as floats, or damage


class Measures:
    """An `Observer` of a decoding. ``rate`` in Hz; ``file``: its name, for messages.

    ``frames``: those that were seen.
    """

    def __init__(self, rate: int, file: str = "") -> None:
        self.rate = rate
        self.channels = 0
        self.nonfinite = 0
        self.frames = 0
        self._file = file
        self._beyond = 0.0  # the sample that is out of range
        self._fingerprint = hashlib.blake2b(digest_size=16)

    def add(self, block: NDArray[np.float32]) -> None:
        """``block`` [frames, channels]. Nothing is measured from the first NaN on.

        Raise `AudioInvalid` for samples beyond `LARGEST`.
        """
        if not block.size:
            return
        if not self.channels:
            self._begin(block.shape[1])
        self.frames += len(block)
        peak = max(float(block.max()), -float(block.min()))
        if self.nonfinite or not math.isfinite(peak):
            self.nonfinite += int(np.count_nonzero(~np.isfinite(block)))
            return
        if peak > LARGEST:
            self._beyond = peak
            raise AudioInvalid(f"{self._file}: has samples of {peak:.3g}, where full scale is 1")
        sound = _with_channels(block, self.channels)
        samples = np.rint(block * 32768).clip(-32768, 32767)
        self._fingerprint.update(samples.astype("<i2", order="C").data)
        for channel, dropouts in zip(sound, self._dropouts, strict=True):
            dropouts.add(channel)
        for rows in self._framing.rows(sound):
            self._add_rows(rows)

    def results(self) -> dict[str, Any]:
        """The measures by their names in the table `rules.MEASURES`, for once.

        With a ``fault``, there are only those that say it.
        """
        line: dict[str, Any] = {"sample_rate": self.rate, "channels": self.channels}
        if self.nonfinite:
            return line | {"fault": "not_finite", "nonfinite": self.nonfinite}
        if self._beyond:
            return line | {"fault": "out_of_range", "peak": 20 * math.log10(self._beyond)}
        if not self.channels:
            return line
        self._add_rest()
        power = self._levels.power
        bandwidth = self._spectrum.bandwidth
        dropouts, dropped = max(
            (one.found(power) for one in self._dropouts), key=lambda found: found[0]
        )
        return {
            **line,
            "bandwidth": bandwidth,
            "bandwidth_used": None if bandwidth is None else bandwidth / (self.rate / 2),
            **self._comparison.values,
            "peak": self._levels.peak_level,
            "loudness": self._loudness.value,
            "dc_offset": self._levels.dc_offset,
            "clipping": self._clipping.percent,
            **self._place("clipping_at", self._clipping.place),
            **self._spectrum.hum(power),
            "dropouts": dropouts,
            **self._place("dropouts_at", dropped),
            "silence": self._levels.silence,
            "fingerprint": self._fingerprint.hexdigest(),
        }

    def _place(self, name: str, sample: int | None) -> dict[str, float]:
        return {} if sample is None else {name: sample / self.rate}

    def _begin(self, channels: int) -> None:
        self.channels = channels
        self._framing = Framing(self.rate, channels)
        self._loudness = Loudness(self._framing, channels)
        self._spectrum = Spectrum(self.rate, self._framing.size)
        self._clipping = Clipping(channels)
        self._levels = Levels(channels)
        self._comparison = Channels(channels)
        self._dropouts = [Dropouts(self.rate) for _ in range(channels)]
        self._fingerprint.update(f"{self.rate} {channels}".encode())

    def _add_rows(self, rows: Rows) -> None:
        seconds = rows.seconds
        tops, bottoms = seconds.max(axis=-1), seconds.min(axis=-1)
        self._levels.add(seconds, tops, bottoms)
        self._clipping.add(seconds, tops, bottoms)
        self._comparison.add(seconds)
        spectra = np.fft.rfft(rows.samples)
        self._loudness.add(spectra, seconds.shape[-1])
        if not rows.is_rest:
            self._spectrum.add(spectra)

    def _add_rest(self) -> None:
        rest = self._framing.rest()
        if rest is None:
            return
        self._add_rows(rest)
        if self._spectrum.is_empty:
            self._spectrum.add_short(rest.seconds[:, 0], self._framing.size)


def _with_channels(block: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """[channels, frames] of a block [frames, channels]; a stream may change their number."""
    sound = np.ascontiguousarray(block.T[:channels])
    return np.pad(sound, ((0, channels - len(sound)), (0, 0)))
