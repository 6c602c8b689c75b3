"""A stream from its source to its end: heard, shown and, with an output, resumed and kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from speechkit.runtime.stopping import StopRequest
from speechkit.serving.sources.source import RepeatableSource, Source
from speechkit.serving.stream.hearing import Hearing, Listener
from speechkit.serving.stream.resumable import StreamOutput, kept
from speechkit.serving.stream.summary import Account, StreamSummary

if TYPE_CHECKING:
    from speechkit.serving.stream.events import Event


class Viewer(Protocol):
    """Shows events: as text on stdout, in a file, on a line of a terminal."""

    def write(self, event: Event) -> None: ...


def run(
    source: Source,
    listener: Listener,
    output: StreamOutput | None = None,
    viewers: Sequence[Viewer] = (),
    *,
    say: Callable[[str], object],
    signals: bool = False,
) -> StreamSummary:
    """Hear a source to its end. ``viewers`` get its events as they come, ``say`` sentences on how
    it goes.

    A source that breaks off ends the stream, and the summary has its error. ``signals``: SIGTERM,
    SIGUSR1 and SIGINT end the audio of a source that can't be read again, if there is no output.
    Otherwise they raise `Drained`, and so does a full disk; the same call then goes on. Raises the
    fatal errors of the error tree.
    """
    account = Account()
    with StopRequest(signals=signals) as stop:
        hearing = Hearing(listener, stop, say)
        heard = kept(source, hearing, output, account) if output else _unkept(source, hearing)
        with closing(heard):
            for events in heard:
                for event in events:
                    account.take(event)
                    for viewer in viewers:
                        viewer.write(event)
    return account.summary(source.name, str(output.path) if output else None, hearing)


def _unkept(source: Source, hearing: Hearing) -> Generator[list[Event], None, None]:
    otherwise = "what follows is not in the output" if isinstance(source, RepeatableSource) else ""
    with closing(hearing.steps(source, otherwise=otherwise)) as steps:
        for events, _ in steps:
            yield events
