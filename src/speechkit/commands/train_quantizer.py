"""What ``s2s --train-quantizer`` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import NoReturn

import typer

from speechkit.commands.console import say
from speechkit.commands.options import RunFlags
from speechkit.commands.s2s_options import QuantizerFlags
from speechkit.errors import OutputConflict
from speechkit.io import atomic
from speechkit.io.inputs import Inputs
from speechkit.runtime.placement import Hardware
from speechkit.stages.s2s.stage import S2sOptions


def train(
    options: S2sOptions,
    hardware: Hardware,
    flags: QuantizerFlags,
    sources: Sequence[str],
    run: RunFlags,
) -> NoReturn:
    from speechkit.stages.s2s.quantizer_training import train_quantizer

    assert flags.train_quantizer
    if flags.train_quantizer.exists() and not run.restart:
        raise OutputConflict(f"{flags.train_quantizer}: exists; --restart replaces it")
    with Inputs(sources, limit=run.limit) as inputs:
        made = train_quantizer(
            options, hardware, inputs, flags.train_quantizer, flags.clusters, flags.frames
        )
    say(made.text())
    exit_code = 3 if made.failed else 0
    if run.summary:
        found = {**asdict(made), "exit_code": exit_code}
        atomic.write_text(run.summary, json.dumps(found, indent=2) + "\n")
    raise typer.Exit(exit_code)
