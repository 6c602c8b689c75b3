"""Switches off the telemetry of dependencies, so that no process reports to anybody."""

from __future__ import annotations

import os

SWITCHES = {
    # Otherwise onnxruntime 1.32 stores an id of the machine and a database below ~/.cache/Microsoft
    # and looks up the host to send them to. Its disable_telemetry_events() comes too late.
    "ORT_DISABLE_TELEMETRY": "1",
    # Otherwise huggingface_hub sends the versions of torch and of a coding agent with each request
    # (utils/_headers.py), downloads a list of agents (utils/_detect_agent.py), and hf_xet reports
    # each transfer.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Otherwise NeMo's nv_one_logger reads one_logger_exporters_config.yaml from the current folder
    # and calls the functions it names (exporter/export_config_manager.py).
    "ONE_LOGGER_EXPORTER_CONFIG_PATH": os.devnull,
}


def switch_off() -> None:
    """Set the switches for this process and its children, before any dependency is imported."""
    os.environ.update(SWITCHES)
