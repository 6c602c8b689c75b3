"""Nothing talks to anybody: what dependencies report by themselves is switched off."""

from __future__ import annotations

import os

SWITCHES = {
    # onnxruntime 1.32 otherwise keeps an id of the machine and a database below ~/.cache/Microsoft
    # and looks up the host that they are for; its disable_telemetry_events() comes too late.
    "ORT_DISABLE_TELEMETRY": "1",
    # huggingface_hub otherwise tells with each request which torch and which coding agent there are
    # (utils/_headers.py), having asked for a list of agents (utils/_detect_agent.py), and hf_xet
    # reports each transfer.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # NeMo's nv_one_logger otherwise takes one_logger_exporters_config.yaml from the current folder
    # and calls whatever that names (exporter/export_config_manager.py).
    "ONE_LOGGER_EXPORTER_CONFIG_PATH": os.devnull,
}


def switch_off() -> None:
    """For this process and those that it starts; before the first dependency is imported."""
    os.environ.update(SWITCHES)
