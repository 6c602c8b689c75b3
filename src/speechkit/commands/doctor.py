from __future__ import annotations

from typing import Annotated

from speechkit.commands.console import show
from speechkit.commands.options import DebugOption, Option


def doctor(
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
    debug: DebugOption = False,
) -> int:
    """Report what is installed, which engines are ready, and how to install the others.

    Exits with 0 if the default pipeline can run, otherwise with 1.

    Example: speechkit doctor
    """
    from speechkit.doctor.installation import examine
    from speechkit.reports.doctor import DoctorReport

    return show(DoctorReport(examine()), as_json=as_json)
