"""Utterances in parts: every part once, whatever dies, and one line in the end."""

from __future__ import annotations

import os
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faultkit import Run, errors, run

from runkit import part_of, records, until, write_manifest
from speechkit.io.journal import Journal
from speechkit.io.output_status import output_status
from speechkit.io.run_identity import RunIdentity

HAZARD = (sys.executable, "-m", "hazard")
ARGS = ("--batched", "--batch-audio", 1)


def source_of(folder: Path, parts: Sequence[str], beside: int = 6) -> Path:
    """A long utterance among short ones."""
    audio = folder / "long.wav"
    audio.write_bytes(b"sound")
    lines: list[dict[str, Any]] = [
        {"audio_filepath": f"/none/{number}.wav", "duration": 0.5} for number in range(beside)
    ]
    lines.insert(2, {"audio_filepath": str(audio), "parts": parts, "log": str(folder / "log")})
    return write_manifest(folder / "in.jsonl", lines)


def computed(folder: Path) -> Counter[int]:
    """How often each part was computed."""
    return Counter(map(int, (folder / "log").read_text().split()))


def parts_done(out: Path) -> int:
    part = part_of(out)
    return part.read_bytes().count(b"\t2/") - 1 if part.exists() else 0


def kill_after(folder: Path, source: Path, out: Path, *, parts: int) -> None:
    """Leave a run that was killed with so many parts done."""
    going = Run(folder, source, out, *ARGS, command=HAZARD)
    until(lambda: parts_done(out) >= parts)
    going.process.kill()
    going.wait()


def test_workers_start_while_a_long_utterance_is_loaded(tmp_path: Path) -> None:
    lines = [{"audio_filepath": "/none/a.wav", "duration": 300.0, "do": "hang"}]
    source, opening = write_manifest(tmp_path / "in.jsonl", lines), tmp_path / "opening"
    args = (*ARGS, "--workers", 4, "--opening", opening)
    going = Run(tmp_path, source, tmp_path / "out.jsonl", *args, command=HAZARD)
    until(lambda: opening.exists() and opening.read_text() == "...", 30.0)
    going.process.kill()
    going.wait()


def test_all_workers_share_a_long_utterance(tmp_path: Path) -> None:
    source, out = source_of(tmp_path, ["slow"] * 6), tmp_path / "out.jsonl"
    result = run(tmp_path, source, out, *ARGS, command=HAZARD)
    assert result.code == 0, result.err
    (long,) = (record for record in records(out) if "results" in record)
    assert records(out).index(long) == 2
    assert [each["part"] for each in long["results"]] == list(range(6))
    assert [each["offset"] for each in long["results"]] == list(range(6))
    assert len({each["pid"] for each in long["results"]}) == 2
    assert long["a"] == 1
    assert computed(tmp_path) == dict.fromkeys(range(6), 1)


def test_a_failed_part_fails_its_utterance_once(tmp_path: Path) -> None:
    for deed, kind in {
        "raise": "ArithmeticError",
        "kill": "WorkerDied",
        "hang": "TimeLimit",
        "unjoinable": "ResultTooLong",
    }.items():
        folder = tmp_path / deed
        folder.mkdir()
        source, out = source_of(folder, ["", deed, ""]), folder / "out.jsonl"
        result = run(folder, source, out, *ARGS, "--time-limit", 0.5, command=HAZARD)
        assert result.code == 3, result.err
        assert errors(out) == [None, None, kind, None, None, None, None]
        (failed,) = (record for record in records(out) if "error" in record)
        assert failed["audio_filepath"] == str(folder / "long.wav")


def test_a_killed_run_keeps_the_parts_that_are_done(tmp_path: Path) -> None:
    source, out = source_of(tmp_path, [""] * 5 + ["slow"] * 4), tmp_path / "out.jsonl"
    kill_after(tmp_path, source, out, parts=5)
    done = parts_done(out)
    again = run(tmp_path, source, out, *ARGS, command=HAZARD)
    assert again.code == 0, again.err
    assert [each["part"] for each in records(out)[2]["results"]] == list(range(9))
    twice = {number for number, times in computed(tmp_path).items() if times > 1}
    assert len(twice) <= 9 - done
    assert not twice & set(range(5))


def test_parts_of_a_changed_file_and_damaged_ones_are_computed_again(tmp_path: Path) -> None:
    source, out = source_of(tmp_path, ["", "", "slow", "slow", "slow"]), tmp_path / "out.jsonl"
    kill_after(tmp_path, source, out, parts=2)
    part = part_of(out)
    left = part.read_bytes()
    (tmp_path / "log").unlink()
    part.write_bytes(left.replace(b'{"part": 1', b'{"part": 7'))
    assert run(tmp_path, source, out, *ARGS, command=HAZARD).code == 0
    assert 0 not in computed(tmp_path)
    assert 1 in computed(tmp_path)
    assert [each["part"] for each in records(out)[2]["results"]] == list(range(5))
    out.unlink()
    part.write_bytes(left)
    (tmp_path / "log").unlink()
    os.utime(tmp_path / "long.wav", ns=(1, 1))
    assert run(tmp_path, source, out, *ARGS, command=HAZARD).code == 0
    assert computed(tmp_path) == dict.fromkeys(range(5), 1)


def forged(index: str, *fields: bytes) -> bytes:
    body = b"\t".join([index.encode(), *fields])
    return b"%08x\t%s\n" % (zlib.crc32(body), body)


def test_forged_parts_are_computed_again(tmp_path: Path) -> None:
    """Their checksums are right; nothing else is."""
    source, out = source_of(tmp_path, ["", "", "slow", "slow"]), tmp_path / "out.jsonl"
    kill_after(tmp_path, source, out, parts=2)
    part = part_of(out)
    left = part.read_bytes()
    (tmp_path / "log").unlink()
    part.write_bytes(
        left
        + forged("2/0", b"no JSON")
        + forged("2/1", b"[" * 100_000)
        + forged("2/2")
        + forged("2/99", b"{}")
        + forged("2/" + "1" * 5000, b"{}")
        + forged("2/03", b"{}")
        + forged("7000/", b"{}")
    )
    again = run(tmp_path, source, out, *ARGS, command=HAZARD)
    assert again.code == 0, again.err
    assert "computed again" in again.err
    assert computed(tmp_path) == dict.fromkeys(range(4), 1)
    assert [each["part"] for each in records(out)[2]["results"]] == list(range(4))
    for division in (b"", b"\xff", b"[]", b'{"edges": [0, 1], "known": {}, "file": ""}'):
        out.unlink()
        (tmp_path / "log").unlink()
        part.write_bytes(left + forged("2/", division))
        again = run(tmp_path, source, out, *ARGS, command=HAZARD)
        assert again.code == 0, again.err
        assert len(records(out)[2]["results"]) == 4


def test_a_part_that_advances_counts(tmp_path: Path) -> None:
    """In a task of a cluster, which is queued again as long as it does."""
    out = tmp_path / "out.jsonl"
    identity = RunIdentity("test", {}, "sha256:0", 4)
    with Journal(out, identity) as journal:
        journal.divide(2, "{}")
        journal.append(0, ["{}"])
        journal.append_part(2, 0, "{}")
        journal.append_part(2, 1, "{}")
        journal.flush()
        assert (output_status(out).answered, output_status(out).results) == (1, 3)
