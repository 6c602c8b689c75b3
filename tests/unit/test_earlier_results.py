"""What a part holds is held against the input, and moves with its folder."""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from speechkit.errors import OutputConflict, OutputFailed
from speechkit.io.inputs import Inputs
from speechkit.io.journal import Journal
from speechkit.io.output_status import finished_run, output_status
from speechkit.io.part_file import marker_path, part_path
from speechkit.io.run_identity import RunIdentity
from speechkit.runtime.earlier_results import drop_invalid
from speechkit.runtime.stage import Stage
from speechkit.stages.manifest.stage import manifest_stage

STAGE = manifest_stage()
CUTTING = replace(STAGE, cuts=True, result_keys=())
MADE = {"duration": 1.0, "sample_rate": 16000, "channels": 1}
LINES = [{"audio_filepath": "a.wav"}, {"audio_filepath": "../b.wav", "offset": 1.5}]
LINES += [{"audio_filepath": "/far/c.wav", "duration": 1.0}, {"audio_filepath": "a.wav", "id": "d"}]


def _identity(inputs: Inputs) -> RunIdentity:
    scan = inputs.scan()
    return RunIdentity("manifest", {}, scan.fingerprint, scan.count, scan.written)


def _inputs(folder: Path) -> Inputs:
    folder.mkdir(exist_ok=True)
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return Inputs([str(folder / "in.jsonl")])


def _recalled(folder: Path, stage: Stage = STAGE) -> dict[int, list[dict[str, object]]]:
    inputs = _inputs(folder)
    with Journal(folder / "out.jsonl", _identity(inputs)) as journal:
        drop_invalid(journal, inputs, stage)
        return {index: list(map(json.loads, lines)) for index, lines in journal.entries()}


def _part(folder: Path, *bodies: bytes) -> None:
    """A part with these lines, checksums and all."""
    inputs = _inputs(folder)
    header = json.dumps(_identity(inputs).header()).encode()
    lines = [b"%08x\t%s" % (zlib.crc32(body), body) for body in bodies]
    part_path(folder / "out.jsonl").write_bytes(b"\n".join([header, *lines, b""]))


def _body(index: int, *records: object) -> bytes:
    return "\t".join([str(index), *map(json.dumps, records)]).encode()


def _own(folder: Path) -> list[dict[str, object]]:
    return [{**one.record, **MADE} for one in _inputs(folder)]


def test_its_own_lines_are_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = _own(tmp_path)
    own[2] = {**own[2], "error": {"type": "AudioEmpty", "message": "no"}}
    _part(tmp_path, *(_body(n, record) for n, record in enumerate(own)))
    assert _recalled(tmp_path) == {n: [record] for n, record in enumerate(own)}
    assert not caplog.text


@pytest.mark.parametrize(
    "forged",
    [
        *(b"abc\t{}", b"-1\t{}", b"99\t{}", b"4\t{}", b"9" * 5000 + b"\t{}", b" 0\t{}", b"00\t{}"),
        *(b"1_0\t{}", b"\xff\t{}", b"stalled", b"stalled\tx", b"stalled\t99", b"0", b"0\t{}"),
        *(b"0\tnothing", b'0\t["error"]', b'0\t{"error": ' + b"[" * 50_000, b'0\t{"a": "\xff"}'),
    ],
    ids=repr,
)
def test_a_checksum_makes_no_line(forged: bytes, tmp_path: Path) -> None:
    own = _own(tmp_path)
    _part(tmp_path, _body(1, own[1]), forged)
    assert _recalled(tmp_path) == {1: [own[1]]}


def test_lines_that_are_not_the_utterances_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = _own(tmp_path)
    first = own[0]
    for records in (
        [own[2]],
        [first, first],
        [{key: first[key] for key in ("audio_filepath", "duration")}],
        [{**first, "audio_filepath": "/other/place/b.wav"}],
        [{**first, "offset": 3.0}],
        [{**first, "id": "x"}],
        [{**first, "segments": 3}],
        [{**first, "error": [1]}],
        [{**first, "error": {"message": 1}}],
        [{**own[3], "audio_filepath": "/far/c.wav"}],
    ):
        for index in (0, 3):
            caplog.clear()
            _part(tmp_path, _body(index, *records), _body(1, own[1]))
            assert _recalled(tmp_path) == {1: [own[1]]}, records
            assert "not belong to their utterances, computed again: 1" in caplog.text


def test_segments_of_other_recordings(tmp_path: Path) -> None:
    path = _own(tmp_path)[0]["audio_filepath"]
    cut = {"audio_filepath": path, "offset": 0.5, "duration": 0.2, "parent": path}
    _part(tmp_path, _body(0, cut, {**cut, "offset": 0.9}), _body(2))
    assert _recalled(tmp_path, CUTTING) == {0: [cut, {**cut, "offset": 0.9}], 2: []}
    _part(tmp_path, _body(0, cut, {**cut, "parent": "/far/c.wav"}), _body(2, cut))
    assert _recalled(tmp_path, CUTTING) == {}


def test_a_moved_part_has_todays_paths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What failed there is tried again here: its message names a path."""
    before, here = tmp_path / "x" / "before", tmp_path / "y" / "here"
    before.parent.mkdir()
    here.parent.mkdir()
    bodies = [_body(n, record) for n, record in enumerate(_own(before))]
    bodies[3] = _body(3, {**_own(before)[3], "error": {"type": "AudioEmpty", "message": "no"}})
    _part(before, *bodies)
    before.rename(here)
    with caplog.at_level(logging.ERROR):
        assert _recalled(here) == {n: [one] for n, one in enumerate(_own(here)) if n < 3}
    again = tmp_path / "again"
    here.rename(again)
    assert _recalled(again) == {n: [one] for n, one in enumerate(_own(again)) if n < 3}


def test_moved_segments(tmp_path: Path) -> None:
    before, here = tmp_path / "before", tmp_path / "here"
    path = str(_own(before)[0]["audio_filepath"])
    cut = {"audio_filepath": path, "offset": 0.5, "duration": 0.2, "parent": path}
    _part(before, _body(0, cut))
    before.rename(here)
    moved = path.replace("/before/", "/here/")
    assert _recalled(here, CUTTING) == {0: [{**cut, "audio_filepath": moved, "parent": moved}]}


def test_another_manifest_is_no_moved_one(tmp_path: Path) -> None:
    _part(tmp_path, _body(1, _own(tmp_path)[1]))
    other = tmp_path / "other.jsonl"
    other.write_text('{"audio_filepath": "b.wav"}\n' * 4)
    with pytest.raises(OutputConflict, match="another input"):
        Journal(tmp_path / "out.jsonl", _identity(Inputs([str(other)])))


@pytest.mark.parametrize("left", [0, 20, -1])
def test_a_part_that_is_cut_while_it_is_written(left: int, tmp_path: Path) -> None:
    inputs, own = _inputs(tmp_path), _own(tmp_path)
    out = tmp_path / "out.jsonl"
    with Journal(out, _identity(inputs)) as journal:
        journal.append(0, [json.dumps(own[0])])
        journal.flush()
        part = part_path(out)
        part.write_bytes(part.read_bytes()[: left or 0])
        journal.append(1, [json.dumps(own[1])])
        with pytest.raises(OutputFailed, match="somebody has cut it"):
            journal.flush()
    assert not out.exists()


def test_a_part_that_is_removed_while_it_is_written(tmp_path: Path) -> None:
    """What has been computed is published all the same; another run's part is left alone."""
    inputs = _inputs(tmp_path)
    out = tmp_path / "deep" / "out.jsonl"
    with Journal(out, _identity(inputs)) as journal:
        journal.append(0, ["{}"])
        assert journal.stands
        part_path(out).unlink()
        out.parent.rmdir()
        assert not journal.stands
        journal.publish(chain.from_iterable(journal.lines()), dict)
    assert out.read_text() == "{}\n"
    with Journal(out, _identity(inputs)) as journal:
        part_path(out).unlink()
        with Journal(out, _identity(inputs)), pytest.raises(OutputConflict, match="another run"):
            journal.publish(chain.from_iterable(journal.lines()), dict)
    assert out.read_text() == "{}\n"


@pytest.mark.parametrize(
    "odd",
    [
        *(b"", b"null", b"[]", b"3", b'"x"', b"{}", b"\xff\xfe{", b"[" * 100_000),
        *({"errors": None}, {"errors": [1]}, {"errors": {"a": "b"}}, {"errors": {"a": -1}}),
        *({"flags": 3}, {"flags": {"a": {}}}, {"options": [1]}, {"options": None}),
        *({"utterances": "4"}, {"utterances": None}, {"bytes": None}, {"bytes": 1e400}),
    ],
    ids=lambda odd: repr(odd)[:40],
)
def test_an_odd_account(odd: bytes | dict[str, object], tmp_path: Path) -> None:
    out, identity = tmp_path / "out.jsonl", RunIdentity("test", {"a": 1}, "x", 4)
    with Journal(out, identity) as journal:
        journal.publish(chain.from_iterable(journal.lines()), lambda: {"errors": {}, "flags": {}})
    assert output_status(out).answered == 4
    account = finished_run(out, identity)
    text = odd if isinstance(odd, bytes) else json.dumps({**account, **odd}).encode()
    marker_path(out).write_bytes(text)
    with pytest.raises(OutputConflict, match="tells what made it"):
        finished_run(out, identity)
    seen = output_status(out)
    assert seen.answered == 0 or odd in ({"options": [1]}, {"options": None})
    assert "is not what a run has written" in seen.broken or seen.answered
