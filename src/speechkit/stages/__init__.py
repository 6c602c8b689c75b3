"""The names of the stages. Importing this module loads no stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInfo:
    """A stage.

    ``result``: the key of its results that text formats need. ``splittable``: whether `speechkit
    slurm` runs it over splits.
    """

    name: str
    result: str = ""
    splittable: bool = True


STAGES = (
    StageInfo(name="manifest", splittable=False),
    StageInfo(name="vad", result="segments"),
    StageInfo(name="asr", result="pred_text"),
    StageInfo(name="s2s", result="units"),
    StageInfo(name="validate", splittable=False),  # duplicates across splits would go unseen
    StageInfo(name="embed", splittable=False),
)
