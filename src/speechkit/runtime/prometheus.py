"""Metrics of a run as text for Prometheus (its exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from speechkit.errors import OutputConflict
from speechkit.io import atomic, safe_open
from speechkit.io.file_names import shown

MAGIC = b"# HELP speechkit_"  # the beginning of every file
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
#: Name, type, help, and the key of a sample.
_OF_THE_RUN = (
    ("utterances_done_total", "counter", "Utterances with a result or an error.", "done"),
    ("utterances_failed_total", "counter", "Utterances of this run with an error.", "failed"),
    ("utterances_resumed_total", "counter", "Utterances done by an earlier run.", "resumed"),
    ("audio_seconds_total", "counter", "Seconds of audio done by this run.", "audio_seconds"),
    ("engine_seconds_total", "counter", "Seconds of all workers' engines.", "engine_total"),
    ("utterances", "gauge", "Utterances of the input.", "total"),
    ("utterances_waiting", "gauge", "Utterances that no worker has yet.", "waiting"),
    ("utterances_in_workers", "gauge", "Utterances that workers have.", "in_workers"),
    ("elapsed_seconds", "gauge", "Seconds since the start.", "elapsed"),
    ("memory_bytes", "gauge", "Resident memory of the runner.", "rss"),
    ("cpus", "gauge", "CPUs that the runner keeps busy.", "cpu"),
    ("disk_free_bytes", "gauge", "Free space where the output is.", "disk_free"),
    ("sample_time_seconds", "gauge", "When these values were taken, since 1970.", "time"),
)
_OF_A_WORKER = (
    ("worker_memory_bytes", "gauge", "Resident memory of a worker.", "rss"),
    ("worker_cpus", "gauge", "CPUs that a worker keeps busy.", "cpu"),
    ("worker_device_memory_bytes", "gauge", "Memory that a worker has on a device.", "device"),
)


def claim(path: Path) -> None:
    """Make sure that a text can be written to ``path``, over nothing but an earlier one.

    Raise `OutputConflict` and `OutputFailed`.
    """
    with atomic.output_errors(path):
        atomic.refuse_special(path)
        if path.exists():
            with safe_open.open_regular(path) as file:
                begin = file.read(len(MAGIC))
            if begin and begin != MAGIC:
                raise OutputConflict(
                    f"--prometheus {shown(path)}: holds something else and is not replaced; name "
                    "another file"
                )
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass


def rendered(sample: Mapping[str, Any], labels: Mapping[str, str], exit_code: int | None) -> str:
    """The text of a sample. ``exit_code``: None while the run goes on."""
    lines: list[str] = []
    for name, kind, help_text, key in _OF_THE_RUN:
        metric(lines, name, kind, help_text, [(labels, sample.get(key))])
    workers: Sequence[Mapping[str, Any]] = sample.get("workers", ())
    for name, kind, help_text, key in _OF_A_WORKER:
        rows = [({**labels, "worker": str(one["worker"])}, one.get(key)) for one in workers]
        metric(lines, name, kind, help_text, rows)
    running = int(exit_code is None)
    metric(lines, "running", "gauge", "1 while the run goes on.", [(labels, running)])
    metric(lines, "exit_code", "gauge", "Exit code of the run.", [(labels, exit_code)])
    return "".join(lines)


def metric(
    lines: list[str],
    name: str,
    kind: str,
    help_text: str,
    rows: Sequence[tuple[Mapping[str, str], float | None]],
) -> None:
    """Append a metric with its samples, each with its labels; None where there is no value."""
    there = [(labels, value) for labels, value in rows if value is not None]
    if there:
        lines += [f"# HELP speechkit_{name} {help_text}\n", f"# TYPE speechkit_{name} {kind}\n"]
    for labels, value in there:
        shown = ",".join(f'{key}="{label.translate(_ESCAPES)}"' for key, label in labels.items())
        lines.append(f"speechkit_{name}{{{shown}}} {value!r}\n")
