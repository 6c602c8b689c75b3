"""Archives of NeMo's, unpacked on every Python alike: what lies below, and nothing else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from speechkit.compat.archives import unpacked
from speechkit.errors import EngineMissing


def archive(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname = kind, 0o6777, "/etc/passwd"
    member.size = 5 if kind == tarfile.REGTYPE else 0
    with tarfile.open(path, "w") as made:
        made.addfile(member, io.BytesIO(b"words"))
    return path


def test_a_file_is_extracted_without_its_mode(tmp_path: Path) -> None:
    with unpacked(archive(tmp_path / "a.nemo", "./below/file")) as folder:
        made = folder / "below" / "file"
        assert made.read_bytes() == b"words"
        assert made.stat().st_mode & 0o6022 == 0
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/tmp/outside", tarfile.REGTYPE),
        ("../outside", tarfile.REGTYPE),
        ("below/../../outside", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("pipe", tarfile.FIFOTYPE),
        ("device", tarfile.CHRTYPE),
    ],
)
def test_nothing_else_is(
    name: str, kind: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    path = archive(tmp_path / "a.nemo", name, kind)
    with pytest.raises(EngineMissing, match="is no file or folder of its own"), unpacked(path):
        pass
    assert not list(inside.iterdir())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.nemo", "in"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    path = tmp_path / "a.nemo"
    with tarfile.open(path, "w") as made:
        made.addfile(tarfile.TarInfo("a"))
        made.addfile(tarfile.TarInfo("a/b"))
    with pytest.raises(EngineMissing, match=r"a\.nemo: "), unpacked(path):
        pass
