"""Progress on stderr: a bar on a terminal, otherwise a line every 30 s."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from types import TracebackType
from typing import Any

from speechkit.runtime import logs
from speechkit.runtime.progress import Progress

PLAIN_SECONDS = 30.0  # between two lines


class ProgressDisplay:
    """A listener of `Progress`. ``bar`` is False if results go to the same terminal."""

    def __init__(self, *, bar: bool = True) -> None:
        self._wants_bar = bar
        self._bar: Any = None
        self._bar_task: Any = None
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
        if self._wants_bar and sys.stderr.isatty() and not logs.settings().as_json:
            self._draw(progress)
        elif time.monotonic() - self._last_line > PLAIN_SECONDS:
            self._last_line = time.monotonic()
            logs.say(
                f"{progress.stage}: {progress.done}/{progress.total} utterances, "
                f"{_detail(progress)}",
                "progress",
                **asdict(progress),
            )

    def _draw(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = _bar()
            self._bar_task = self._bar.add_task(
                progress.stage, total=progress.total, detail="starting"
            )
            self._bar.start()
        else:
            self._bar.update(self._bar_task, completed=progress.done, detail=_detail(progress))


def _detail(progress: Progress) -> str:
    speed = progress.audio_seconds / progress.elapsed if progress.elapsed else 0.0
    left = "" if progress.remaining is None else f", {_clock(progress.remaining)} left"
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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
