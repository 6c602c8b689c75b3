"""Files, folders, manifests and stdin as one stream of utterances, with their references."""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from speechkit.errors import ManifestError, OutputFailed, UsageError
from speechkit.io import inputs
from speechkit.io.inputs import Inputs, walk
from speechkit.io.reference_texts import References
from speechkit.records import Record, Utterance


def utterances(sources: Sequence[object], limit: int | None = None) -> list[Utterance]:
    with Inputs([str(source) for source in sources], limit=limit) as inputs:
        first = list(inputs)
        assert list(inputs) == first  # as often as they are asked for
        assert inputs.scan().count == len(first)
        return first


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def write_manifest(path: Path, *records: Record) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_sources_mix_and_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "f/b.wav", "f/a.flac", "single.xyz")
    listed = write_manifest(tmp_path / "m.jsonl", {"audio_filepath": "z.wav", "offset": 1.5})
    stdin(monkeypatch, b'{"audio_filepath": "/s.wav", "duration": 2}\n')
    monkeypatch.chdir(tmp_path)
    found = utterances([listed, "f", "-", "single.xyz", listed])
    assert [one.audio for one in found] == [
        *(f"{tmp_path}/z.wav", f"{tmp_path}/f/a.flac", f"{tmp_path}/f/b.wav", "/s.wav"),
        *(f"{tmp_path}/single.xyz", f"{tmp_path}/z.wav"),
    ]
    assert [one.index for one in found] == [0, 1, 2, 3, 4, 5]
    assert (found[0].offset, found[0].duration) == (1.5, None)
    assert (found[3].offset, found[3].duration) == (0.0, 2.0)
    assert len(utterances([listed, "f"], limit=2)) == 2


def test_a_relative_path_on_stdin_is_meant_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, b'{"audio_filepath": "x.wav"}')
    monkeypatch.chdir(tmp_path)
    assert utterances(["-"])[0].audio == f"{tmp_path}/x.wav"


@pytest.mark.parametrize("more", [-100, 1, 3000, 200_000])
def test_a_temporary_folder_that_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: int
) -> None:
    """Be it by all of stdin or by its last bytes."""
    most = 96_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(inputs, "STDIN_SPOOL", 1000)
    monkeypatch.setattr(inputs, "_PIECE", 1000)
    stdin(monkeypatch, b"{}".ljust(most + more))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        if more < 0:
            Inputs(["-"])
            return
        with pytest.raises(OutputFailed, match=r"can't be written: .*TMPDIR"):
            Inputs(["-"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_empty_stdin_says_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"")
    with Inputs(["-"]) as inputs, pytest.raises(UsageError, match="did the stage before this one"):
        inputs.scan()


def test_a_folder_is_walked_sorted_without_what_is_hidden(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *("b/2.wav", "b/1.WAV", "a/x.mp3", "c.Flac", "a/notes.txt", "readme", "a/x.jsonl"),
        *(".hidden/h.wav", "a/.h.wav", "a/._x.mp3", "deep/er/and/deeper/d.opus"),
    )
    (tmp_path / "odd.wav").mkdir()
    found = [os.path.relpath(path, tmp_path) for path in walk(str(tmp_path))]
    expected = ["a/x.mp3", "b/1.WAV", "b/2.wav", "c.Flac", "deep/er/and/deeper/d.opus", "odd.wav"]
    assert found == expected


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.wav", "out/b.wav")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "other").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "file.wav").symlink_to(tmp_path / "out" / "b.wav")
    (tmp_path / "in" / "dangling.wav").symlink_to("nowhere")
    found = [os.path.relpath(path, tmp_path / "in") for path in walk(str(tmp_path / "in"))]
    assert found == ["a.wav", "dangling.wav", "file.wav", "other/b.wav"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"f\xff.wav")
    touch(tmp_path, name)
    (one,) = utterances([tmp_path])
    assert one.audio == str(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing: no such file or folder"),
        ("nothing.jsonl", r"nothing\.jsonl: no such file or folder"),
        ("empty", "empty: no audio in this folder"),
        ("pipe.jsonl", r"pipe\.jsonl: is not a regular file; a pipe is read as - \(stdin\)"),
    ],
)
def test_an_input_that_is_none_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UsageError, match=message):
        Inputs([str(tmp_path / name)])


@pytest.mark.parametrize("secret", ["talks/secret", "talks/a.txt"])
def test_nothing_is_passed_over_for_want_of_permission(open_path: Path, secret: str) -> None:
    touch(open_path / "talks", "a.wav", "a.txt", "secret/b.wav")
    (open_path / secret).chmod(0)
    script = (
        "import os, sys\n"
        "from speechkit.io.inputs import Inputs, UsageError\n"
        "os.geteuid() or os.setuid(65534)\n"  # root may read everything
        "try: Inputs([sys.argv[1]]).scan()\n"
        "except UsageError as e: print(e)\n"
    )
    command = [sys.executable, "-c", script, str(open_path / "talks")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (open_path / secret).chmod(0o755)
    assert done.stdout.startswith(f"{open_path}/{secret}: ")
    assert done.stdout.endswith("can't be read: Permission denied\n")


@pytest.mark.parametrize(
    "segments",
    [
        *(3, "x", {}, [3], [{}], [{"start": 0}], [{"start": "0", "end": "1"}]),
        *([{"start": 2, "end": 1}], [{"start": -1, "end": 1}]),
        [{"start": 3, "end": 4}, {"start": 1, "end": 2}],
    ],
)
def test_segments_that_are_none_are_refused(tmp_path: Path, segments: object) -> None:
    path = write_manifest(
        tmp_path / "m.jsonl",
        {"audio_filepath": "/a", "segments": [{"start": 0, "end": 1}, {"start": 1, "end": 1}]},
        {"audio_filepath": "/b", "segments": segments},
    )
    with (
        Inputs([str(path)]) as inputs,
        pytest.raises(ManifestError, match=r'm\.jsonl, line 2: "segments" must be'),
    ):
        inputs.scan()


def test_the_fingerprint_tells_inputs_apart(tmp_path: Path) -> None:
    def fingerprint(*records: Record) -> str:
        with Inputs([str(write_manifest(tmp_path / "m.jsonl", *records))]) as inputs:
            return inputs.scan().fingerprint

    a: Record = {"audio_filepath": "/a", "duration": 1}
    b: Record = {"audio_filepath": "/b"}
    prints = [fingerprint(*records) for records in ((a,), (a, b), (b, a), ({**a, "text": "x"},))]
    assert len(set(prints)) == 4
    assert fingerprint(a, b) == prints[1]


def test_the_seconds_are_known_where_all_durations_are(tmp_path: Path) -> None:
    known = write_manifest(tmp_path / "k.jsonl", *[{"audio_filepath": "/a", "duration": 1.5}] * 3)
    with Inputs([str(known)]) as inputs:
        assert inputs.scan().seconds == 4.5
    unknown = write_manifest(tmp_path / "u.jsonl", {"audio_filepath": "/a"})
    with Inputs([str(known), str(unknown)]) as inputs:
        assert inputs.scan().seconds is None


# ---------------------------------------------------------------- references


def test_references_beside_the_audio(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav", "2.flac", "3.wav", "5.wav", "a.b.wav")
    (tmp_path / "1.txt").write_text("  one\n two\t three ")
    (tmp_path / "2.lab").write_bytes("\ufeffzwei für".encode())
    (tmp_path / "3.txt").write_text("")
    (tmp_path / "a.b.txt").write_text("dotted")
    (tmp_path / "a.txt").write_text("another's")
    found = {Path(one.audio).name: one.record.get("text") for one in utterances([tmp_path])}
    expected = {"1.wav": "one two three", "2.flac": "zwei für", "3.wav": "", "5.wav": None}
    assert found == {**expected, "a.b.wav": "dotted"}
    (one,) = utterances([tmp_path / "1.wav"])
    assert one.record == {"audio_filepath": f"{tmp_path}/1.wav", "text": "one two three"}


def test_librispeech_transcripts(tmp_path: Path) -> None:
    for chapter, word in (("84/121123", "FIRST"), ("84/121550", "SECOND")):
        name = chapter.replace("/", "-")
        touch(tmp_path / chapter, f"{name}-0000.flac", f"{name}-0001.flac", f"{name}-0002.flac")
        (tmp_path / chapter / f"{name}.trans.txt").write_text(
            f"{name}-0000 {word} LINE\n\n{name}-0001\n{name}-00 NOT THIS\n"
        )
    texts = [one.record.get("text") for one in utterances([tmp_path])]
    assert texts == ["FIRST LINE", "", None, "SECOND LINE", "", None]


def test_a_text_beside_comes_before_a_list(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav")
    (tmp_path / "x.trans.txt").write_text("1 from the list")
    assert References().find(f"{tmp_path}/1.wav", str(tmp_path)) == "from the list"
    (tmp_path / "1.txt").write_text("from beside")
    assert References().find(f"{tmp_path}/1.wav", str(tmp_path)) == "from beside"


def test_a_manifest_keeps_its_own_text(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav")
    (tmp_path / "1.txt").write_text("from beside")
    path = write_manifest(tmp_path / "m.jsonl", {"audio_filepath": "1.wav"})
    assert "text" not in utterances([path])[0].record


def found(path: Path) -> str | None:
    return References().find(str(path), str(path.parent))


NFC, NFD = "Gr\u00fc\u00dfe", "Gru\u0308\u00dfe"


@pytest.mark.parametrize(("name", "other"), [(NFC, NFD), (NFD, NFC)])
def test_a_reference_is_found_in_another_unicode_form(
    tmp_path: Path, name: str, other: str
) -> None:
    touch(tmp_path, f"{name}.wav", f"{name}2.wav")
    (tmp_path / f"{other}.txt").write_text("beside")
    (tmp_path / "x.trans.txt").write_text(f"{other}2 listed")
    assert [one.record["text"] for one in utterances([tmp_path])] == ["beside", "listed"]


def test_a_reference_is_first_that_of_its_own_form(tmp_path: Path) -> None:
    touch(tmp_path, f"{NFC}.wav", f"{NFD}.wav", f"{NFC}2.wav", f"{NFD}2.wav")
    (tmp_path / f"{NFC}.txt").write_text("composed")
    (tmp_path / "x.trans.txt").write_text(f"{NFC}2 composed\n{NFD}2 decomposed\n")
    assert found(tmp_path / f"{NFC}.wav") == "composed"
    assert found(tmp_path / f"{NFD}.wav") is None
    assert found(tmp_path / f"{NFC}2.wav") == "composed"
    assert found(tmp_path / f"{NFD}2.wav") == "decomposed"


def test_an_argument_in_another_unicode_form_is_told_so(tmp_path: Path) -> None:
    touch(tmp_path, f"{NFD}/{NFC}.wav", f"{NFD}/m.jsonl")
    for name in (f"{NFC}/{NFD}.wav", f"{NFC}/m.jsonl", NFC):
        with pytest.raises(UsageError) as caught:
            Inputs([f"{tmp_path}/{name}"])
        assert "no such file or folder; the same name in another Unicode form (N" in str(
            caught.value
        )
        assert json.dumps(f"{tmp_path}/{NFD}")[:-1] in str(caught.value)
    with pytest.raises(UsageError, match=r"\.wav: no such file or folder$"):
        Inputs([f"{tmp_path}/{NFD}/{NFC}x.wav"])


def test_what_is_no_file_is_no_reference(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}.wav" for n in range(5)))
    os.mkfifo(tmp_path / "0.txt")
    (tmp_path / "1.txt").mkdir()
    (tmp_path / "2.txt").symlink_to("nowhere")
    (tmp_path / "3.txt").symlink_to("3.txt")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "4.txt"))
    os.mkfifo(tmp_path / "a.trans.txt")
    (tmp_path / "b.trans.txt").mkdir()
    (tmp_path / "c.trans.txt").symlink_to("/dev/zero")
    assert [one.record.get("text") for one in utterances([tmp_path])] == [None] * 5


def test_a_link_out_of_the_input_is_no_reference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "in/1.wav", "in/2.wav", "in/sub/3.wav", "in/sub/4.wav")
    (tmp_path / "secret").write_text("4 secret")
    for name in ("1.txt", "sub/4.trans.txt"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "2.txt").write_text("two")
    (tmp_path / "in" / "sub" / "3.txt").symlink_to("../2.txt")
    texts = [one.record.get("text") for one in utterances([tmp_path / "in"])]
    assert texts == [None, "two", "two", None]
    assert [one.getMessage() for one in caplog.records] == [
        f"{tmp_path}/in/1.txt: a link out of {tmp_path}/in is not read as a reference"
    ]
    (alone,) = utterances([tmp_path / "in" / "sub" / "3.wav"])  # the input is its folder
    assert "text" not in alone.record


@pytest.mark.parametrize("name", ["1.txt", "x.trans.txt"])
def test_a_reference_that_is_too_long_is_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "1.wav")
    with open(tmp_path / name, "wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(UsageError, match=rf"{name}: a reference text of 300 MiB, and \d+ MiB are"):
        Inputs([str(tmp_path)])


def test_a_line_of_a_list_that_is_too_long_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav")
    (tmp_path / "x.trans.txt").write_text("1 " + "x" * (9 << 20))
    with pytest.raises(UsageError, match="a reference text of 9 MiB, and 8 MiB are the most"):
        Inputs([str(tmp_path)])
