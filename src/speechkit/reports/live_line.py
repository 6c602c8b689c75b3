"""What is being said, on a terminal: finished lines, and below them one that rewrites itself."""

from __future__ import annotations

import io
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from speechkit.formats.clean_text import one_line
from speechkit.io.file_names import harmless
from speechkit.serving.stream.events import Event, Partial
from speechkit.serving.stream.live_formats import Lines

if TYPE_CHECKING:
    from rich.text import Text

MOST = 400  # characters that are rewritten, where no sentence ends


class LiveLine:
    """Finals as lines of text, and dimly behind the last one what may still change."""

    def __init__(self, terminal: BinaryIO) -> None:
        """``terminal``: unbuffered."""
        from rich.console import Console
        from rich.live import Live

        text = io.TextIOWrapper(terminal, "utf-8", write_through=True)
        self._lines = Lines()
        self._open = ""  # of the last line, what is final
        self._live = Live(
            console=Console(file=text, highlight=False),
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
            self._live.console.print(_text(self._open), soft_wrap=True)

    def write(self, event: Event) -> None:
        if isinstance(event, Partial):
            self._show(event.text)
            return
        if len(self._open) > MOST:
            self._open += "\n"
        *closed, self._open = (self._open + self._lines.add(event)).split("\n")
        for line in closed:
            self._live.console.print(_text(line), soft_wrap=True)
        self._show("")

    def say(self, text: str) -> None:
        """Print a sentence on how it goes, above the line."""
        self._live.console.print(_text(f"({text})"), style="italic", soft_wrap=True)

    def _show(self, partial: str) -> None:
        line = _text(self._open)
        if partial:
            line.append(" " * bool(self._open) + harmless(one_line(partial)), "dim")
        self._live.update(line, refresh=True)


def _text(line: str) -> Text:
    from rich.text import Text

    return Text(harmless(line))
