"""The work of ``s2s --train-quantizer``."""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.commands.console import conclude
from speechkit.commands.options import RunFlags
from speechkit.commands.s2s_options import QuantizerFlags
from speechkit.errors import OutputConflict
from speechkit.io.inputs import Inputs
from speechkit.runtime.worker_plan import Hardware
from speechkit.stages.s2s.stage import S2sOptions


def train(
    options: S2sOptions,
    hardware: Hardware,
    flags: QuantizerFlags,
    sources: Sequence[str],
    run: RunFlags,
) -> int:
    from speechkit.reports.progress import ProgressDisplay
    from speechkit.reports.quantizer import TrainingReport
    from speechkit.stages.s2s.quantizer_training import train_quantizer

    target = flags.train_quantizer
    assert target
    if target.exists() and not run.restart:
        raise OutputConflict(f"{target}: exists; --restart replaces it")
    with Inputs(sources, limit=run.limit) as inputs, ProgressDisplay() as display:
        training = train_quantizer(
            options, hardware, inputs, target, flags.clusters, flags.frames, display
        )
    return conclude(TrainingReport(training), run.summary)
