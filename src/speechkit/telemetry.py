"""Nothing talks to anybody: what dependencies report by themselves is switched off."""

from __future__ import annotations

import os

#: onnxruntime keeps an id of the machine and looks up a host; the hub's client says what it runs
#: beside a download that was asked for.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def switch_off() -> None:
    """For this process and those that it starts; before the first dependency is imported."""
    os.environ.update(SWITCHES)
