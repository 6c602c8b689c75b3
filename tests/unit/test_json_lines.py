"""Items of a manifest one by one: of any number, and each of a size that is limited."""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import ManifestError
from speechkit.io import json_lines
from speechkit.io.json_lines import MOST_BYTES, MOST_DEPTH, parse_line, read_items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def array(data: bytes) -> list[object]:
    return [value for _, value in read_items(io.BytesIO(data), "m")]


@given(st.lists(VALUES), st.sampled_from([None, 1]), st.integers(1, 9))
@pytest.mark.slow
def test_an_array_is_read_in_pieces_of_any_size(
    values: list[object], indent: int | None, chunk: int
) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
    expected = json.loads(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "_CHUNK", chunk)
        assert array(data) == expected


@pytest.mark.parametrize("cut", range(1, 22))
def test_an_array_that_breaks_off_is_told_from_a_whole_one(cut: int) -> None:
    with pytest.raises(ManifestError, match=r"m, item [123]: not valid JSON"):
        array(b'[{"a": 1.5}, 23, "\\n"]\n'[:cut])


@pytest.mark.parametrize("text", ["[1] 2", "[1]]", "[1 2]", "[,1]", "[1,]", '["a]', "[1e999]"])
def test_an_array_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match=r"m, item \d: not valid JSON"):
        array(text.encode())


@pytest.mark.parametrize("number", ["1e308", "1E+30", "1e-999", "0.1", "9" * 308 + ".0", "-0e0"])
def test_numbers_are_those_of_json(number: str) -> None:
    assert parse_line(f'{{"x": {number}}}'.encode(), "here") == {"x": float(number)}


@pytest.mark.parametrize("number", ["1e309", "-1E+999", "9" * 309 + ".0", "1" + "0" * 250 + "e99"])
def test_a_number_that_is_too_large_is_refused(number: str) -> None:
    with pytest.raises(ManifestError, match="is too large"):
        parse_line(f'{{"x": {number}}}'.encode(), "here")


def test_what_is_nested_no_deeper_than_allowed_reaches_a_worker() -> None:
    for opening, closing in ("[]", ('{"a":', "}")):
        deep = f"{opening * MOST_DEPTH}{0 if closing == '}' else ''}{closing * MOST_DEPTH}"
        parse_line(deep.encode(), "here")
        with pytest.raises(ManifestError, match="nested too deeply"):
            parse_line(b"[" + deep.encode() + b"]", "here")
        with pytest.raises(ManifestError, match="nested too deeply"):
            array(f"[{deep.replace('[]', '[[]]').replace(':0', ':{}')}]".encode())


SCAN = """
import sys
from speechkit.errors import ManifestError
from speechkit.io.inputs import Inputs
try:
    with Inputs([sys.argv[1]]) as inputs: print(inputs.scan().count)
except ManifestError as e: print(e)
print(int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) >> 10)
"""


def scanned(path: Path) -> tuple[str, int]:
    """What a scan of the file says, and its peak memory in MiB."""
    command = [sys.executable, "-c", SCAN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said, memory = done.stdout.splitlines()
    return said, int(memory)


@pytest.mark.slow
def test_a_long_array_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.json.gz"
    record = json.dumps({"audio_filepath": "/a.wav", "x": "x" * 5500})
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("[" + f"{record},\n" * 20_000 + f"{record}]")  # 110 MB
    said, memory = scanned(path)
    assert said == "20001"
    assert memory < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    "start", [b"", b"[", b'{"audio_filepath": "/a"}\n', b'[{"audio_filepath": "/a"},']
)
def test_an_enormous_line_is_refused(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "m.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start + b'{"audio_filepath": "')
        for _ in range(500):
            file.write(b"x" * (1 << 20))
    said, memory = scanned(path)
    assert "64 MiB" in said and "m.jsonl.gz, " in said
    assert memory < 400


@pytest.mark.slow
def test_a_day_of_probabilities_fits(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    some = ", ".join(f"{random.random():.4f}" for _ in range(1000))
    frames = ", ".join([some] * (24 * 3600 // 16))
    path.write_text(f'{{"audio_filepath": "/a.wav", "frame_probabilities": [{frames}]}}\n')
    assert 40 << 20 < path.stat().st_size < MOST_BYTES
    assert scanned(path)[0] == "1"


def test_a_line_of_the_limit_fits_and_one_more_byte_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "MOST_BYTES", 30)
    whole, longer = b'"' + b"x" * 28 + b'"', b'"' + b"x" * 29 + b'"'
    found = list(read_items(io.BytesIO(whole + b"\n" + whole), "m"))
    assert [parse_line(item, where) for where, item in found] == ["x" * 28] * 2
    for end in (b"", b"\n", b"\n{}"):
        (_, line), *_ = read_items(io.BytesIO(longer + end), "m")
        with pytest.raises(ManifestError, match="here: is longer than"):
            parse_line(line, "here")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["%s", "[%s]"])
def test_more_lists_than_any_utterance_has_are_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(form % f'{{"audio_filepath": "/a", "x": [{"[]," * 20_000_000}[]]}}')
    said, memory = scanned(path)
    assert said.startswith(f"{path}, ")
    assert said.endswith("1: more than 2097152 lists and objects in one utterance")
    assert memory < 400
