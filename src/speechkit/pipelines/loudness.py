"""How loud a recording is made before a VAD hears it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

PEAK = 0.25  # of full scale (-12 dBFS), to which a quieter recording is raised
MOST_GAIN = 32.0  # times: 30 dB


def raised(waveform: Waveform) -> Waveform:
    """A quiet waveform amplified until its peak is `PEAK`, by `MOST_GAIN` at most; a louder one
    as it is.

    VAD engines hear less of the same speech the quieter it is: of labelled conversations 30 dB
    down they find nine tenths where they find 98 % at the recordings' own level.
    """
    peak = float(max(waveform.max(), -waveform.min()))
    gain = PEAK / max(peak, PEAK / MOST_GAIN)
    return waveform * gain if gain > 1 else waveform
