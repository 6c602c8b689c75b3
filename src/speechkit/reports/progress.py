"""Progress on stderr: a bar on a terminal, otherwise a line every 30 s."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any

from speechkit.io.file_names import harmless
from speechkit.runtime import logs
from speechkit.runtime.progress import Progress

PLAIN_SECONDS = 30.0  # between two lines


class ProgressDisplay:
    """A listener of `Progress`. ``bar`` is False if results go to the same terminal."""

    def __init__(self, *, bar: bool = True) -> None:
        self._wants_bar = bar
        self._bar: Any = None
        self._bar_task: Any = None
        self._drawn = ""  # the name of what the bar shows
        self._last_line = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        done, total = progress.done, progress.total
        detail = _detail(progress)
        self.show(progress.stage, done, total, "utterances", detail, asdict(progress))

    def show(
        self,
        name: str,
        done: int,
        total: int,
        unit: str,
        detail: str,
        numbers: Mapping[str, Any],
    ) -> None:
        """Show that so much of ``total`` is done. ``numbers`` belong to an object of JSON alone."""
        if self._wants_bar and sys.stderr.isatty() and not logs.settings().as_json:
            self._draw(name, done, total, detail)
        elif time.monotonic() - self._last_line > PLAIN_SECONDS:
            self._last_line = time.monotonic()
            logs.say(f"{name}: {done}/{total} {unit}, {detail}", "progress", **numbers)

    def say(self, text: str, event: str, level: str = "info", **numbers: Any) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(harmless(text), markup=False, highlight=False)
        else:
            logs.say(text, event, level, **numbers)

    def _draw(self, name: str, done: int, total: int, detail: str) -> None:
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
        if name != self._drawn:
            if self._drawn:
                self._bar.remove_task(self._bar_task)
            self._drawn = name
            self._bar_task = self._bar.add_task(name, total=total, detail="starting")
        self._bar.update(self._bar_task, completed=done, total=total, detail=detail)


def _detail(progress: Progress) -> str:
    speed = progress.audio_seconds / progress.elapsed if progress.elapsed else 0.0
    left = "" if progress.remaining is None else f", {clock(progress.remaining)} left"
    failed = f", {progress.failed} failed" if progress.failed else ""
    return f"{speed:.0f}x real time{left}{failed}"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        console=Console(stderr=True),
        redirect_stdout=False,  # otherwise data for a file on stdout goes to the terminal
    )


def clock(seconds: float) -> str:
    """``1:05``, ``2:00:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
