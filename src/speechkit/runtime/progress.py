"""How far a run is: a bar on a terminal, a plain line every so often where stderr is none."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

PLAIN_SECONDS = 30.0  # between two lines


class Progress:
    """Counts utterances and seconds of audio towards a known total and shows both on stderr.

    ``seconds`` is the audio's total, None where it is not known: the time left then goes by the
    number of utterances. ``bar`` False: no bar, since results are shown on that terminal.
    """

    def __init__(
        self, stage: str, utterances: int, seconds: float | None, *, bar: bool = True
    ) -> None:
        self._stage = stage
        self._total = utterances
        self._seconds = seconds
        self._count = self._resumed = 0
        self._resumed_seconds = 0.0
        self._audio = 0.0
        self._failed = 0
        self._started = self._spoke = time.monotonic()
        self._wants_bar = bar
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._wants_bar and sys.stderr.isatty():
            self._bar, self._task = _bar(self._stage, self._total)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def skip(self, seconds: float) -> None:
        """An utterance whose result an earlier run has left, and its audio."""
        self._count += 1
        self._resumed += 1
        self._resumed_seconds += seconds

    def advance(self, *, seconds: float, failed: bool) -> None:
        self._count += 1
        self._audio += seconds
        self._failed += failed
        if self._bar:
            self._bar.update(self._task, completed=self._count, detail=self._detail())
        elif time.monotonic() - self._spoke > PLAIN_SECONDS:
            self._spoke = time.monotonic()
            print(
                f"{self._stage}: {self._count}/{self._total} utterances, {self._detail()}",
                file=sys.stderr,
            )

    def _detail(self) -> str:
        elapsed = time.monotonic() - self._started
        text = f"{self._audio / elapsed:.0f}x real time, {_clock(self._left(elapsed))} left"
        return f"{text}, {self._failed} failed" if self._failed else text

    def _left(self, elapsed: float) -> float:
        if self._seconds is not None and self._audio:
            todo = max(0.0, self._seconds - self._resumed_seconds - self._audio)
            return todo * elapsed / self._audio
        done = max(1, self._count - self._resumed)
        return (self._total - self._count) * elapsed / done


def _bar(stage: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn(f"[bold]{stage}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        console=Console(stderr=True),
        redirect_stdout=False,  # else what is meant for a file on stdout goes to the terminal
    )
    return bar, bar.add_task(stage, total=total, detail="starting")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
