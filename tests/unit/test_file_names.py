"""A name in another Unicode form is told from one that is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speechkit.errors import AudioNotFound
from speechkit.io import audio
from speechkit.io.file_names import FileNames, unicode_hint
from speechkit.io.manifest import read_records

NFC, NFD = "Gr\u00fc\u00dfe", "Gru\u0308\u00dfe"


@pytest.mark.parametrize(
    ("asked", "there", "form"),
    [
        (f"{NFC}.wav", f"{NFD}.wav", "NFD"),
        (f"{NFD}.wav", f"{NFC}.wav", "NFC"),
        (f"{NFC}/{NFC}.wav", f"{NFD}/{NFC}.wav", "NFC and NFD mixed"),
        (f"{NFC}/{NFC}/a.wav", f"{NFD}/{NFD}/a.wav", "NFD"),
        ("\u1e69.wav", "s\u0307\u0323.wav", "NFC and NFD mixed"),  # two marks, in the other order
    ],
)
def test_the_form_that_is_there_is_named(tmp_path: Path, asked: str, there: str, form: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).touch()
    name = json.dumps(str(tmp_path / there))
    assert unicode_hint(f"{tmp_path}/{asked}") == (
        f"; the same name in another Unicode form ({form}) is there: {name}; "
        "write it so, or rename the file"
    )
    with pytest.raises(AudioNotFound, match="no such file; the same name in another Unicode form"):
        audio.load(f"{tmp_path}/{asked}", sample_rate=16000)
    # What the sentence shows is what a manifest takes.
    (tmp_path / "m.jsonl").write_text(f'{{"audio_filepath": {name}}}')
    (record,) = read_records(str(tmp_path / "m.jsonl"))
    assert Path(record["audio_filepath"]).exists()


@pytest.mark.parametrize(
    "path", ["a.wav", "\u00fc.wav", f"none/{NFC}.wav", "\ufb01.wav", "a.txt/\u00fc", "x" * 300]
)
def test_of_other_names_nothing_is_said(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.wav", f"{NFC}.wav", "fi.wav", "a.txt"):  # fi: a ligature's compatible form
        (tmp_path / name).touch()
    assert unicode_hint(f"{tmp_path}/{path}") == ""
    assert unicode_hint(f"{tmp_path}/{NFC}.wav") == ""  # it is there
    monkeypatch.chdir(tmp_path)
    assert unicode_hint(path) == ""
    assert unicode_hint(f"{NFD}.wav").startswith("; the same name")


def test_a_name_is_first_itself() -> None:
    names = FileNames([NFC, NFD, "a"])
    assert [names.find(one) for one in (NFC, NFD, "a", "b")] == [NFC, NFD, "a", None]
