from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.console import conclude
from speechkit.commands.options import ConfigOption, DebugOption, Option

RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Metrics of a run, the output beside them, or the folder of a job array's results.",
        show_default=False,
    ),
]


def report(
    runs: RunsArgument,
    output: Annotated[
        Path, Option("--output", "-o", metavar="FILE", help="The page, in HTML.")
    ] = Path("report.html"),
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Show a run or a job array on a page: speed, memory, errors, slow utterances.

    It needs the metrics of --metrics; tasks of a job array write them always.

    Example: speechkit report asr.metrics.jsonl --output report.html
    """
    from speechkit.cluster.run_history import read_history
    from speechkit.reports.run_page import RunPage

    page = RunPage(read_history(runs), output)
    page.write()
    return conclude(page)
