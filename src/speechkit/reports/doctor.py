"""The state of the installation, as tables for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from speechkit.doctor.installation import Finding, Folder, Installation


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """A `Report` of the installation."""

    installation: Installation

    @property
    def exit_code(self) -> int:
        return 0 if self.installation.default_pipeline_ready else 1

    def to_json(self) -> dict[str, Any]:
        return self.installation.to_json()

    def view(self) -> RenderableType:
        return render(self.installation)


def render(report: Installation) -> RenderableType:
    """Tables with a line per finding, and the verdict at the end, for rich."""
    system = (
        ("speechkit", report.speechkit),
        ("Python", report.python),
        ("system", report.platform),
        ("CPUs", f"{report.cpus_granted} granted of {report.cpus_present}"),
        ("memory", f"{_gib(report.memory_granted)} granted of {_gib(report.memory_present)}"),
    )
    return Group(
        *_section("System", (Finding(*pair) for pair in system), "", ""),
        *_section("Engines", report.engines, "ready", "missing"),
        *_section("Packages", report.packages, "ready", "missing"),
        *_section("Tools", report.tools, "", "missing"),
        *_section("Devices", report.devices, "", "problem"),
        *_section("Folders", map(_folder, report.folders), "", "problem"),
        _verdict(report),
    )


def _section(
    title: str, findings: Iterable[Finding], good: str, bad: str
) -> tuple[RenderableType, ...]:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text()
        if finding.problem:
            text.append(bad, style="red" if finding.needed else "yellow")
            text.append(f": {finding.problem}" if bad else finding.problem)
        elif good:
            text.append(good, style="green")
        if finding.detail and not finding.problem:
            text.append(f"{', ' if good else ''}{finding.detail}")
        table.add_row(Text(finding.name), text)
    return Text(title, style="bold"), table, Text()


def _folder(folder: Folder) -> Finding:
    holds = "" if folder.size is None else f"{decimal(folder.size)} in it, "
    detail = f"{folder.path}: {holds}{decimal(folder.free)} free"
    problem = None if folder.writable else f"{folder.path} can't be written to; set {folder.name}"
    return Finding(folder.name, detail, problem)


def _verdict(report: Installation) -> Text:
    if report.default_pipeline_ready:
        return Text("The default pipeline is ready.", style="green")
    missing = [
        finding.name
        for finding in report.engines + report.packages
        if finding.needed and finding.problem
    ]
    return Text(f"The default pipeline can't run: {', '.join(missing)}. See above.", style="red")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
