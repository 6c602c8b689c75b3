"""What is being said, on a terminal: finished lines, and below them one that rewrites itself."""

from __future__ import annotations

from types import TracebackType
from typing import IO, TYPE_CHECKING

from speechkit.formats.clean_text import one_line
from speechkit.io.file_names import harmless
from speechkit.serving.stream.events import Event, Partial
from speechkit.serving.stream.live_formats import Lines

if TYPE_CHECKING:
    from rich.text import Text


class LiveLine:
    """Finals as lines of text, and dimly behind the last one what may still change."""

    def __init__(self, terminal: IO[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._lines = Lines()
        self._open = ""  # of the last line, what is final
        self._live = Live(
            console=Console(file=terminal, highlight=False, soft_wrap=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveLine:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        if self._open:
            self._live.console.print(_text(self._open))

    def write(self, event: Event) -> None:
        if isinstance(event, Partial):
            self._show(event.text)
            return
        *closed, self._open = (self._open + self._lines.add(event)).split("\n")
        for line in closed:
            self._live.console.print(_text(line))
        self._show("")

    def _show(self, partial: str) -> None:
        line = _text(self._open)
        if partial:
            line.append(" " * bool(self._open) + harmless(one_line(partial)), "dim")
        self._live.update(line, refresh=True)


def _text(line: str) -> Text:
    from rich.text import Text

    return Text(harmless(line))
