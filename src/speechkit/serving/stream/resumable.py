"""The output of a stream that goes on where it was cut.

Beside ``OUT`` lie ``OUT.part``, its journal, and ``OUT.audio/``, the audio of a pipe as far as it
may be needed again, until the stream has ended.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.errors import Drained, OutputConflict, OutputFailed
from speechkit.io import checksums, typed_json
from speechkit.io.file_names import MOST_BYTES, shorten
from speechkit.io.output_status import finished_run
from speechkit.io.part_file import part_path
from speechkit.io.run_identity import RunIdentity
from speechkit.runtime.stopping import GO_ON
from speechkit.serving.sources.source import RepeatableSource, Source
from speechkit.serving.stream.events import Event, Partial, from_json, to_json
from speechkit.serving.stream.journal import StreamJournal
from speechkit.serving.stream.pcm_log import PIECE, PcmLog, remove_log
from speechkit.serving.stream.state import SessionState

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform
    from speechkit.serving.stream.hearing import Hearing, Listener
    from speechkit.serving.stream.live_files import LiveFile, LiveFiles
    from speechkit.serving.stream.summary import Account

LIVE = "live"  # in place of the fingerprint of a source that can't be read again
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOutput:
    """The ``path`` of the events that are final. ``restart`` discards what is there. ``files``:
    text beside it."""

    path: Path
    restart: bool = False
    files: LiveFiles | None = None

    @property
    def audio(self) -> Path:
        return self.path.with_name(f"{shorten(self.path.name, MOST_BYTES - 6)}.audio")


def kept(
    source: Source, hearing: Hearing, output: StreamOutput, account: Account
) -> Generator[list[Event], None, None]:
    """What each step says, once the output has it; ``account`` recalls what it has already.

    Raises `OutputConflict` for the output of another stream, which a live source's finished one
    always is, and `Drained` where the disk is full: what is written is whole.
    """
    path, identity = output.path, _identity(source, hearing.listener)
    if path.exists() and not (output.restart or part_path(path).exists()):
        finished_run(path, identity)
        if not isinstance(source, RepeatableSource):
            raise OutputConflict(
                f"{path}: holds a stream that has ended, and {source.name} is a new one; name "
                "another output, or replace it with --restart"
            )
        with open(path, "rb") as lines, _files(output, _past(path, lines, account)):
            return
    with _resumable(), StreamJournal(path, identity, restart=output.restart) as journal:
        if journal.is_new:
            remove_log(output.audio)
        with _files(output, _past(journal.part, journal.events(), account)) as files:
            if not journal.has_ended:
                for events in _heard(source, hearing, output, journal):
                    for file in files:
                        file.write(events)
                    yield events
        remove_log(output.audio)  # first: no kill may leave it behind
        journal.publish(journal.events(), account.errors)


def _heard(
    source: Source, hearing: Hearing, output: StreamOutput, journal: StreamJournal
) -> Generator[list[Event], None, None]:
    """What the source says from the last state in the journal on, once it is in the journal.

    In a long silence, only the state is: no more than a minute is heard again, and the log of a
    pipe doesn't grow.
    """
    state = _state(journal)
    kept_from = state.replay_from
    with _continued(source, state, output.audio) as (rest, replayed, forget):
        steps = hearing.steps(rest, state, replayed, otherwise=GO_ON)
        with closing(steps):
            for events, after in steps:
                final = [to_json(event) for event in events if not isinstance(event, Partial)]
                if final or after.replay_from - kept_from >= PIECE:
                    journal.append(final, asdict(after))
                    kept_from = after.replay_from
                    forget(kept_from)
                yield events


@contextmanager
def _continued(
    source: Source, state: SessionState, folder: Path
) -> Iterator[tuple[Source, Iterable[Waveform], Callable[[int], object]]]:
    """The source behind what the state has heard, the audio to replay, and what takes the sample
    before which no audio is needed any more. The ``folder`` keeps the audio of a pipe."""
    replayed = state.replay_from, state.heard
    if isinstance(source, RepeatableSource):
        source.skip(state.heard)
        yield source, source.between(*replayed), lambda _: None
        return
    with PcmLog(folder, state.heard) as log:
        yield log.recorded(source, state.heard), log.read(*replayed), log.forget


def _identity(source: Source, listener: Listener) -> RunIdentity:
    """A file is known by its path and stamp. All live sources are one, so that an empty pipe can
    end the stream of a microphone."""
    if not isinstance(source, RepeatableSource):
        return RunIdentity("stream", listener.pinned, LIVE, 1)
    stamp = checksums.file_stamp(source.name)
    absolute = f"{os.path.realpath(source.name)} {stamp}"
    return RunIdentity("stream", listener.pinned, absolute, 1, f"{source.name} {stamp}")


def _state(journal: StreamJournal) -> SessionState:
    if journal.state is None:
        return SessionState()
    try:
        state = typed_json.to_dataclass(SessionState, journal.state)
        state.require_possible()
    except ValueError as e:
        raise _foreign(journal.part) from e
    return state


def _past(path: Path, lines: Iterable[bytes], account: Account) -> Iterator[Event]:
    """The events of an earlier run, recalled."""
    for line in lines:
        try:
            event = from_json(typed_json.parse(line))
        except (ValueError, TypeError, LookupError) as e:
            raise _foreign(path) from e
        account.recall(event)
        yield event


def _foreign(path: Path) -> OutputConflict:
    return OutputConflict(
        f"{path}: holds what no stream has written; name another output, or start over with "
        "--restart"
    )


@contextmanager
def _files(output: StreamOutput, past: Iterable[Event]) -> Iterator[list[LiveFile]]:
    """The text files with what is past, all of which is taken."""
    if output.files is None:
        for _ in past:
            pass
        yield []
    else:
        with output.files.opened(past) as files:
            yield files


@contextmanager
def _resumable() -> Iterator[None]:
    """A full disk ends the run as a signal does."""
    try:
        yield
    except OutputFailed as e:
        if isinstance(e.__cause__, OSError) and e.__cause__.errno in FULL:
            raise Drained(f"{e}; make room, and {GO_ON}") from e
        raise
