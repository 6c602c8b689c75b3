from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from speechkit.commands.options import DebugOption, Option


def doctor(
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
    debug: DebugOption = False,
) -> None:
    """Say what is installed, which engines are ready, and what the others need.

    Exits with 0 where the default pipeline can run, else with 1.

    Example: speechkit doctor
    """
    from speechkit.doctor.installation import examine

    report = examine()
    if as_json:
        sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
    else:
        from rich.console import Console

        from speechkit.reports.doctor import render

        Console().print(render(report))
    raise typer.Exit(0 if report.default_pipeline_ready else 1)
