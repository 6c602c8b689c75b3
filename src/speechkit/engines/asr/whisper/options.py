"""The options of both Whispers."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.asr.options import TIMESTAMPS, ModelOptions
from speechkit.engines.options import option

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _temperatures(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 <= value <= 2 for value in values):
        raise ValueError("numbers from 0 to 2, with commas between them")
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperOptions(ModelOptions):
    """``language``: as `LanguageOption.parse` takes it. ``timestamps``: the model is asked to mark
    its segments; times come from its attention in any case."""

    task: str = option(
        "transcribe",
        choices=("transcribe", "translate"),
        help="translate: into English.",
    )
    beam_size: int = option(1, minimum=1, metavar="N", help="Hypotheses kept during the search.")
    temperature: tuple[float, ...] = option(
        TEMPERATURES,
        metavar="T,T...",
        parse=_temperatures,
        help="Tried in turn until a window raises no doubt; 0 is the likeliest text.",
    )
    initial_prompt: str | None = option(
        None,
        metavar="TEXT",
        help="Text that could precede the recording: names, spelling, style.",
    )
    hotwords: str | None = option(None, metavar="TEXT", help="Words to expect.")
    timestamps: bool = option(False, negatable=True, help=TIMESTAMPS)
