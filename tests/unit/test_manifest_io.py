"""Manifests in and out: what comes in comes out, and what is malformed is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import ManifestError, UsageError
from speechkit.io import manifest
from speechkit.io.json_lines import parse_line
from speechkit.records import Record

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Surrogates too: a file name that is not UTF-8 reaches Python as these.
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def write(folder: Path, text: str | bytes, name: str = "m.jsonl") -> str:
    path = folder / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def read(folder: Path, text: str | bytes, name: str = "m.jsonl") -> list[Record]:
    return list(manifest.read_records(write(folder, text, name)))


@given(st.dictionaries(st.text(st.characters(exclude_categories=())), JSON_VALUES))
def test_any_record_survives_being_written_and_read(record: Record) -> None:
    record["audio_filepath"] = "/a.wav"
    line = manifest.dump(record)
    assert "\n" not in line
    assert "\t" not in line  # the journal's separator
    again = parse_line(line.encode(), "here")
    assert again == record
    assert list(again) == list(record)
    assert manifest.dump(again) == line


def test_unknown_keys_stay_in_their_order_and_exact(tmp_path: Path) -> None:
    line = (
        '{"zebra": 1, "audio_filepath": "/x.wav", "big": 123456789012345678901234567890, '
        '"speaker": {"id": 7, "tags": ["ä", null, true]}, "πλ": "😀 \\u2028", "x": 0.1}'
    )
    (record,) = read(tmp_path, line)
    assert list(record) == ["zebra", "audio_filepath", "big", "speaker", "πλ", "x"]
    assert record["big"] == 123456789012345678901234567890
    assert manifest.dump(record) == line.replace("\\u2028", "\u2028")


def test_relative_paths_are_meant_from_the_manifests_folder(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    path = write(tmp_path / "below", '{"audio_filepath": "../a b.wav"}\n{"audio_filepath": "c"}')
    (tmp_path / "link.jsonl").symlink_to(path)  # the folder of the manifest, not of the link
    for name in (path, str(tmp_path / "link.jsonl")):
        paths = [record["audio_filepath"] for record in manifest.read_records(name)]
        assert paths == [f"{tmp_path}/a b.wav", f"{tmp_path}/below/c"]


def test_absolute_paths_and_addresses(tmp_path: Path) -> None:
    lines = '{"audio_filepath": "/x/../y.wav"}\n{"audio_filepath": "http://host/a.wav"}'
    paths = [record["audio_filepath"] for record in read(tmp_path, lines)]
    assert paths == ["/x/../y.wav", f"{tmp_path}/http:/host/a.wav"]


@pytest.mark.parametrize("name", ["m.jsonl", "m.json", "m.jsonl.gz", "m.json.gz"])
@pytest.mark.parametrize(
    "text",
    [
        '{"audio_filepath": "/1"}\n{"audio_filepath": "/2"}\n',
        '{"audio_filepath": "/1"}\n{"audio_filepath": "/2"}',
        '\ufeff{"audio_filepath": "/1"}\r\n\r\n  \t\n{"audio_filepath": "/2"}\r\n\n',
        '[{"audio_filepath": "/1"}, {"audio_filepath": "/2"}]',
        '\ufeff\n  [\n {"audio_filepath":\n "/1"},\n {"audio_filepath": "/2"}\n]\n',
    ],
)
def test_lines_arrays_packed_or_not(tmp_path: Path, name: str, text: str) -> None:
    assert [record["audio_filepath"] for record in read(tmp_path, text, name)] == ["/1", "/2"]


def test_an_empty_manifest_holds_nothing(tmp_path: Path) -> None:
    for text in ("", "\n\n", "\ufeff", "[]"):
        assert read(tmp_path, text) == []


GOOD = '{"audio_filepath": "/a.wav"}\n\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ("{'audio_filepath': '/a'}", "not valid JSON"),
        ('{"audio_filepath": "/a"} {"audio_filepath": "/b"}', "not valid JSON"),
        ('{"audio_filepath": "/a", "x": NaN}', "NaN is not JSON"),
        ('{"audio_filepath": "/a", "x": -Infinity}', "-Infinity is not JSON"),
        ('{"audio_filepath": "/a", "x": 1e999}', "1e999 is too large"),
        ('{"audio_filepath": "/a", "x": [-1e999]}', "-1e999 is too large"),
        ('["audio_filepath"]', "expected a JSON object, found a list"),
        ("null", "expected a JSON object, found null"),
        ("7", "expected a JSON object, found a number"),
        ('"/a.wav"', "expected a JSON object, found a string"),
        ("{}", '"audio_filepath" must be the path'),
        ('{"audio_filepath": ""}', '"audio_filepath" must be the path'),
        ('{"audio_filepath": 3}', '"audio_filepath" must be the path'),
        ('{"audio_filepath": "a\\u0000b"}', '"audio_filepath" must be the path'),
        ('{"audio_filepath": "/a", "offset": -1}', '"offset" must be seconds'),
        ('{"audio_filepath": "/a", "duration": "3"}', '"duration" must be seconds'),
        ('{"audio_filepath": "/a", "duration": true}', '"duration" must be seconds'),
        (f'{{"audio_filepath": "/a", "offset": 1{"0" * 400}}}', '"offset" must be seconds'),
        ('{"audio_filepath": "/a", "offset": 1e300}', '"offset" must be seconds'),
        ('{"a":' * 100_000, "nested too deeply"),
        (b'{"audio_filepath": "/\xff"}', "not UTF-8"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str | bytes, reason: str) -> None:
    text = GOOD.encode() + (line if isinstance(line, bytes) else line.encode()) + b"\n"
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/m.jsonl, line 3: ")
    assert reason in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_malformed_item_of_an_array_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"m\.jsonl, item 2: expected a JSON object"):
        read(tmp_path, '[{"audio_filepath": "/a"}, 3]')
    with pytest.raises(ManifestError, match=r"m\.jsonl, item 2: not valid JSON"):
        read(tmp_path, '[{"audio_filepath": "/a"}, ')


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    whole = Path(write(tmp_path, GOOD * 1000, "m.jsonl.gz")).read_bytes()
    damaged = (whole[: len(whole) // 2], b"plain text", whole[:20] + b"\0" * 9 + whole[29:])
    for data in damaged:
        (tmp_path / "m.jsonl.gz").write_bytes(data)
        with pytest.raises(UsageError, match=r"m\.jsonl\.gz: can't be read"):
            list(manifest.read_records(str(tmp_path / "m.jsonl.gz")))


def test_a_long_manifest_streams(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "{broken")
    records = manifest.read_records(path)
    assert next(records) == {"audio_filepath": "/a.wav"}  # before the broken line is seen
    with pytest.raises(ManifestError):
        next(records)


def test_identity_is_the_id_else_the_stretch_of_audio() -> None:
    plain: Record = {"audio_filepath": "/a.wav"}
    assert manifest.identity({**plain, "id": "x", "offset": 3}) == manifest.identity({"id": "x"})
    same = [{}, {"offset": 0}, {"offset": 0.0}, {"offset": None}, {"duration": None}, {"text": "t"}]
    assert len({manifest.identity({**plain, **more}) for more in same}) == 1
    different = [{}, {"offset": 1}, {"duration": 1}, {"offset": 1, "duration": 1}, {"id": "/a.wav"}]
    assert len({manifest.identity({**plain, **more}) for more in different}) == 5


def test_content_lines_are_the_bytes_as_they_are(tmp_path: Path) -> None:
    text = '{"b":1,  "a": 1.50}\n\n  \n{"c": "\\u00e4"}'
    found = list(manifest.content_lines(write(tmp_path, "\ufeff" + text)))
    assert [line for _, line in found] == [b'{"b":1,  "a": 1.50}', b'{"c": "\\u00e4"}']
    assert [where.rpartition(", ")[2] for where, _ in found] == ["line 1", "line 4"]
    items = manifest.content_lines(write(tmp_path, '[{"b": 1},\n{"a": 2}]', "a.json.gz"))
    assert [json.loads(line) for _, line in items] == [{"b": 1}, {"a": 2}]
