"""The context of a fine-tune: the length of the windows that its encoder has learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechkit.engines.mel_filters import HOP
from speechkit.engines.protocols import SAMPLE_RATE

KEY = "encoder_context"  # in config.json, in seconds
POSITIONS = SAMPLE_RATE // (2 * HOP)  # of the encoder, a second


def stated(settings: Mapping[str, Any], longest: float) -> float:
    """The seconds that a config.json states, in whole positions, or 0.

    Raise ValueError for what is no number of seconds up to ``longest``, the model's own window.
    """
    context = settings.get(KEY)
    if context is None:
        return 0.0
    number = isinstance(context, int | float) and not isinstance(context, bool)
    if not number or not 1 / POSITIONS <= context <= longest:
        raise ValueError(f"{KEY} is {context!r}, and not a number of seconds up to {longest:g}")
    return round(float(context) * POSITIONS) / POSITIONS
