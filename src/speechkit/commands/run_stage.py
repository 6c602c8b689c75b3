"""The one way from a stage's options to its run, its output and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from speechkit.commands.console import conclude, print_text
from speechkit.commands.options import FormatFlags, RunFlags, one_of

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout
    from speechkit.runtime.job import JobOptions
    from speechkit.runtime.stage import Stage


def run_stage(
    stage: Stage,
    sources: Sequence[str],
    flags: RunFlags,
    wanted: FormatFlags | None = None,
    layout: Layout | None = None,
) -> int:
    """Runs a stage, with its results rendered as the formats that are wanted; its exit code."""
    from speechkit.io import atomic
    from speechkit.reports.progress import ProgressDisplay
    from speechkit.reports.run import RunReport
    from speechkit.runtime import job

    if flags.summary:
        atomic.refuse_special(flags.summary)
    options = _job_options(stage.name, flags, wanted or FormatFlags(), layout)
    to_file = options.output or options.text_folder
    with ProgressDisplay(bar=bool(to_file) or not sys.stdout.isatty()) as display:
        summary = job.run(stage, sources, options, emit=print_text, progress=display, signals=True)
    return conclude(RunReport(summary), flags.summary)


def _job_options(
    stage: str, flags: RunFlags, wanted: FormatFlags, layout: Layout | None
) -> JobOptions:
    from speechkit.formats import formats_of
    from speechkit.formats.cues import LAYOUT
    from speechkit.runtime.job import JobOptions

    available = formats_of(stage, layout or LAYOUT)
    names = [one_of(name, ["jsonl", *available], "--format") for name in wanted.format or []]
    return JobOptions(
        output=None if flags.output == "-" else flags.output,
        workers=flags.workers,
        limit=flags.limit,
        retry_failed=flags.retry_failed,
        restart=flags.restart,
        time_limit=flags.time_limit,
        formats=[available[name] for name in dict.fromkeys(names) if name != "jsonl"],
        text_folder=wanted.output_dir,
        one_file=wanted.one_file,
    )
