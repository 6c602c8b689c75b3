"""The journal where a file system doesn't keep two writers apart."""

from __future__ import annotations

import errno
import fcntl
import logging
from itertools import chain
from pathlib import Path

import pytest

from speechkit.errors import OutputConflict
from speechkit.io.journal import Journal
from speechkit.io.output_status import output_status
from speechkit.io.run_identity import RunIdentity

IDENTITY = RunIdentity("test", {}, "sha256:0", 4)


def test_a_file_system_without_locks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of, and lines that another writer has put there are no results."""

    def no_lock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    output = tmp_path / "out.jsonl"
    with caplog.at_level(logging.WARNING), Journal(output, IDENTITY) as one:
        assert "has no locks" in caplog.text
        with Journal(output, IDENTITY) as other:
            for index in (0, 1):
                one.append(index, [f'{{"n": {index}}}'])
                other.append(index + 2, [f'{{"n": {index}}}'])
            other.flush()
            one.flush()
            with pytest.raises(OutputConflict, match="another run at the same time"):
                list(one.lines())
    assert not output.exists()
    with Journal(output, IDENTITY) as again:
        assert again.count == 4


def test_what_is_seen_from_outside(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert output_status(output).answered == 0
    with Journal(output, IDENTITY) as journal:
        journal.append(0, ['{"n": 0}'])
        journal.append(2, ['{"error": {"type": "AudioEmpty", "message": "no"}}'])
        journal.mark_stalled([1])
        seen = output_status(output)
        assert (seen.answered, dict(seen.errors), seen.in_progress) == (2, {"AudioEmpty": 1}, True)
        journal.append(2, ['{"n": 2}'])
        journal.append(1, [])
        journal.append(3, ['{"error": {"type": "TimeLimit", "message": "no"}}'])
        journal.flush()
        assert output_status(output).answered == 4
        assert dict(output_status(output).errors) == {"TimeLimit": 1}
        journal.publish(chain.from_iterable(journal.lines()), lambda: {"errors": {"TimeLimit": 1}})
    seen = output_status(output)
    assert (seen.answered, dict(seen.errors), seen.in_progress) == (4, {"TimeLimit": 1}, False)
