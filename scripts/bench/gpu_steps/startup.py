"""From the start of the process to its first result, and what is imported on the way."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gpu_steps import watch
from gpu_steps.common import Setting, cycled, sentences, write_manifest

SHOWN = 12  # imports, the costliest
IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)")
DEPTH = 3  # of what is shown; two spaces a level
WORKER = "speechkit.engines.asr.whisper.engine"


def run(setting: Setting, folder: Path) -> None:
    manifest = write_manifest(setting.work / "startup.jsonl", cycled(sentences(setting), 4))
    command = ["asr", manifest, "--engine", "whisper", "--model", folder, "--language", "en"]
    command += ["--device", setting.device]
    out = setting.work / "startup.out.jsonl"
    with setting.trying("startup", "first run"):
        first = watch.speechkit(command, out).first
        setting.row("startup", "first result, the first run", first, "s", "model not in the cache")
    with setting.trying("startup", "first result"):
        found = watch.repeated(command, out, setting.repeats)
        note = f"the whole process {found.seconds:.1f} s"
        setting.row("startup", "first result", found.first, "s", note)
    for module in ("torch", "transformers", WORKER):
        imports(setting, module)


def imports(setting: Setting, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        (int(match[2]) / 1e6, match[4])
        for match in map(IMPORT.match, done.stderr.splitlines())
        if match and len(match[3]) <= 1 + 2 * DEPTH
    ]
    total = max(seconds for seconds, name in found if name == module)
    costly = ", ".join(f"{name} {seconds:.1f}" for seconds, name in sorted(found)[::-1][:SHOWN])
    setting.row("startup", f"import {module}", total, "s", costly)
