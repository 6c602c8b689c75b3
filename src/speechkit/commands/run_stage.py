"""The run of a stage for all stage commands: from the options to the output and exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from speechkit.commands.console import conclude, print_text
from speechkit.commands.format_options import FormatFlags
from speechkit.commands.options import RunFlags, require_choice

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout
    from speechkit.runtime.job import JobOptions
    from speechkit.runtime.stage import Stage
    from speechkit.runtime.summary import Summary


def run_stage(
    stage: Stage,
    sources: Sequence[str],
    flags: RunFlags,
    formats: FormatFlags | None = None,
    layout: Layout | None = None,
) -> int:
    """Run a stage, render its results in the formats, and return the exit code."""
    from speechkit.reports.run import RunReport

    return conclude(RunReport(summarised(stage, sources, flags, formats, layout)), flags.summary)


def summarised(
    stage: Stage,
    sources: Sequence[str],
    flags: RunFlags,
    formats: FormatFlags | None = None,
    layout: Layout | None = None,
) -> Summary:
    """As `run_stage`, but return the summary and print nothing of it."""
    from speechkit.io import atomic
    from speechkit.reports.progress import ProgressDisplay
    from speechkit.runtime import job, logs

    if flags.summary:
        atomic.refuse_special(flags.summary)
    logs.configure(replace(logs.settings(), places={"stage": stage.name}))
    options = _job_options(stage.name, flags, formats or FormatFlags(), layout)
    to_file = stage.output or options.output or options.text_folder
    with ProgressDisplay(bar=bool(to_file) or not sys.stdout.isatty()) as display:
        return job.run(stage, sources, options, emit=print_text, progress=display, signals=True)


def _job_options(
    stage: str, flags: RunFlags, formats: FormatFlags, layout: Layout | None
) -> JobOptions:
    from speechkit.formats import formats_of
    from speechkit.formats.cues import LAYOUT
    from speechkit.runtime.job import JobOptions

    available = formats_of(stage, layout or LAYOUT)
    names = [
        require_choice(name, ["jsonl", *available], "--format") for name in formats.format or []
    ]
    return JobOptions(
        output=None if flags.output == "-" else flags.output,
        workers=flags.workers,
        limit=flags.limit,
        retry_failed=flags.retry_failed,
        restart=flags.restart,
        time_limit=flags.time_limit,
        formats=[available[name] for name in dict.fromkeys(names) if name != "jsonl"],
        text_folder=formats.output_dir,
        one_file=formats.one_file,
        metrics=flags.metrics,
        prometheus=flags.prometheus,
        summary=flags.summary,
    )
