"""NeMo's way to extract, on a Python whose tar files know no filter."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from speechkit.compat.archives import extraction_filter


@pytest.fixture
def old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tarfile is before Python 3.11.4."""
    if not hasattr(tarfile, "data_filter"):
        return
    modern = tarfile.TarFile.extract

    def extract(self: Any, member: Any, path: Any = "", set_attrs: bool = True) -> None:
        modern(self, member, path, set_attrs, filter="fully_trusted")

    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.setattr(tarfile.TarFile, "extract", extract)


def archive(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarFile:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname = kind, 0o6777, "/etc/passwd"
    member.size = 5 if kind == tarfile.REGTYPE else 0
    with tarfile.open(path, "w") as made:
        made.addfile(member, io.BytesIO(b"words"))
    return tarfile.open(path)


def test_without_the_shim(old_python: None, tmp_path: Path) -> None:
    with archive(tmp_path / "a.tar", "file") as opened, pytest.raises(TypeError, match="'filter'"):
        opened.extract(opened.next(), tmp_path, filter="data")


@pytest.mark.parametrize("python", ["old", "own"])
def test_a_file_is_extracted_without_its_mode(
    python: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if python == "old":
        request.getfixturevalue("old_python")
    with archive(tmp_path / "a.tar", "below/file") as opened, extraction_filter():
        opened.extract(opened.next(), tmp_path, filter="data")
    made = tmp_path / "below" / "file"
    assert made.read_bytes() == b"words"
    assert made.stat().st_mode & 0o6022 == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/tmp/outside", tarfile.REGTYPE),
        ("../outside", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("pipe", tarfile.FIFOTYPE),
        ("device", tarfile.CHRTYPE),
    ],
)
def test_nothing_else_is(old_python: None, name: str, kind: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    opened = archive(tmp_path / "a.tar", name, kind)
    with extraction_filter(), pytest.raises(tarfile.ExtractError, match="no file or folder"):
        opened.extract(opened.next(), folder, filter="data")
    opened.close()
    assert not list(folder.iterdir())
    assert not (tmp_path / "outside").exists()
