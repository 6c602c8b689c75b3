"""The table of manifest keys, and what stages do by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from speechkit import keys
from speechkit.io.manifest import dump
from speechkit.records import Record
from speechkit.splitting.expected_utterances import ExpectedUtterances, result_key

ROOT = Path(__file__).resolve().parents[2]


def test_every_key_and_flag_stands_in_the_table_once() -> None:
    for table in (keys.LINE, keys.SEGMENT, keys.FLAGS):
        names = [entry.name for entry in table]
        assert len(set(names)) == len(names)


def test_a_stage_replaces_or_removes_what_it_sets_and_leaves_the_rest_in_place() -> None:
    line: Record = {
        **{"gaps": [{"start": 1, "end": 2}], "topic": "a", "segments": [], "lang": "de"},
        **{"flags": ["doubtful", "noisy", "damaged"], "units": [1], "audio_filepath": "/a.wav"},
    }
    renewed = keys.with_results(line, "asr", {"pred_text": "b", "segments": [{}]}, ["low_coverage"])
    assert list(renewed.items()) == [
        ("topic", "a"),
        ("segments", [{}]),
        ("lang", "de"),  # stated by the input, and the stage has found none
        ("flags", ["low_coverage", "noisy"]),
        ("units", [1]),
        ("audio_filepath", "/a.wav"),
        ("pred_text", "b"),
    ]
    assert keys.with_results(line, "s2s", {"audio_filepath_out": "/b.wav"}, None) == {
        **line,
        "audio_filepath_out": "/b.wav",
    }


def test_the_key_goes_with_the_last_flag() -> None:
    assert keys.with_results({"flags": ["doubtful"]}, "asr", {}, []) == {}
    for of_another_tool in (7, None, [], {"a": 1}, [{"a": 1}]):
        line = {"flags": of_another_tool}
        assert keys.with_results(line, "asr", {}, []) == line
        assert keys.for_a_slice(line) == line


def test_no_stage_sets_a_key_that_the_table_does_not_give_it() -> None:
    with pytest.raises(AssertionError, match=r"vad sets .*pred_text"):
        keys.with_results({}, "vad", {"pred_text": "a"}, [])


def test_twins_find_their_lines(tmp_path: Path) -> None:
    """A call and its second channel, which has flags of an earlier run that this one replaces."""
    call: Record = {"audio_filepath": "/a.wav", "duration": 1.0}
    lines = [call, {**call, "channel": 1, "flags": ["doubtful"]}]
    manifest = tmp_path / "calls.jsonl"
    manifest.write_text("".join(dump(line) + "\n" for line in lines))
    expected = ExpectedUtterances()
    expected.expect_manifest(str(manifest))
    for position in (1, 0):
        result = keys.with_results(lines[position], "asr", {"pred_text": "a"}, [])
        assert expected.choose(result, expected.positions(result_key(result))) == position


def test_the_reference_page_is_current() -> None:
    script = ROOT / "scripts" / "keys_reference.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    page = (ROOT / "docs" / "manifest-keys.md").read_text()
    for key in (*keys.LINE, *keys.SEGMENT, *keys.FLAGS):
        assert f"| `{key.name}` |" in page
