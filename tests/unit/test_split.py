import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechkit.errors import ManifestError, OutputConflict, OutputFailed, UsageError
from speechkit.io.split_index import array_text, read_index, split_number
from speechkit.reports.split import SplitReport
from speechkit.splitting.split import SplitOptions, SplitSummary, split_manifest


def line(number: int, duration: float | None = 1.0, **more: object) -> dict[str, object]:
    record: dict[str, object] = {"audio_filepath": f"/audio/{number}.wav"}
    return record | ({} if duration is None else {"duration": duration}) | more


def write(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def split(data: Path, splits: int, **more: object) -> SplitSummary:
    folder = str(data.parent / "splits")
    return split_manifest(SplitOptions(str(data), splits, **{"output_dir": folder, **more}))  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def numbers(path: Path) -> list[int]:
    return [int(Path(json.loads(row)["audio_filepath"]).stem) for row in path.open()]


def test_the_longest_goes_to_the_emptiest_split_and_order_is_kept(tmp_path: Path) -> None:
    durations = [3.0, 9.0, 4.0, 5.0, 5.0, 2.0]
    data = write(tmp_path / "data.jsonl", [line(n, d) for n, d in enumerate(durations)])
    summary = split(data, 2)
    folder = tmp_path / "splits"
    assert names(folder) == ["data_split_00.jsonl", "data_split_01.jsonl", "data_splits.json"]
    assert numbers(folder / "data_split_00.jsonl") == [1, 2, 5]
    assert numbers(folder / "data_split_01.jsonl") == [0, 3, 4]
    assert (summary.shortest, summary.longest, summary.seconds) == (13.0, 15.0, 28.0)
    assert summary.array == "0-1"


def test_by_count_gives_neighbouring_lines_to_each_split(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(n, n) for n in range(11)])
    split(data, 3, by="count")
    parts = [numbers(tmp_path / "splits" / f"data_split_0{n}.jsonl") for n in range(3)]
    assert [number for part in parts for number in part] == list(range(11))
    assert sorted(map(len, parts)) == [3, 4, 4]


def test_the_index_tells_what_each_split_holds(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(n, 2.5) for n in range(5)])
    split(data, 2)
    index = read_index(tmp_path / "splits" / "data_splits.json")
    assert index is not None
    assert (index.parent, index.utterances, index.seconds) == (str(data), 5, 12.5)
    assert [(s.file, s.utterances, s.seconds) for s in index.splits] == [
        ("data_split_00.jsonl", 3, 7.5),
        ("data_split_01.jsonl", 2, 5.0),
    ]
    for part in index.splits:
        assert (tmp_path / "splits" / part.file).stat().st_size == part.bytes


def test_only_lines_with_a_relative_path_are_rewritten(tmp_path: Path) -> None:
    odd = '{"x":"é\\u00e9",  "audio_filepath" : "/a.wav","n":1.50}'
    relative = '{"audio_filepath":"sub/../b.wav","x":{"y":[1,null]}}'
    last = '{"audio_filepath":"/ü.wav"}'
    data = tmp_path / "data.jsonl"
    data.write_bytes(f"\ufeff{odd}\r\n\n  \n{relative}\n{last}".encode())
    split(data, 1)
    rows = (tmp_path / "splits" / "data_split_00.jsonl").read_bytes().split(b"\n")
    assert rows[0] == odd.encode() + b"\r"
    assert json.loads(rows[1]) == {"audio_filepath": str(tmp_path / "b.wav"), "x": {"y": [1, None]}}
    assert rows[2:] == [last.encode(), b""]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.gz"])
def test_splits_have_the_suffix_of_the_input(tmp_path: Path, suffix: str) -> None:
    text = "".join(json.dumps(line(n)) + "\n" for n in range(4)).encode()
    data = tmp_path / f"my.data{suffix}"
    data.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    split(data, 2)
    parts = [tmp_path / "splits" / f"my.data_split_0{n}{suffix}" for n in range(2)]
    read = [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in parts]
    assert sorted(b"".join(read).splitlines()) == sorted(text.splitlines())
    before = contents(tmp_path / "splits")
    split(data, 2, restart=True)
    assert contents(tmp_path / "splits") == before


def test_a_json_array_is_split_into_lines(tmp_path: Path) -> None:
    records = [line(n, text="ü") for n in range(5)]
    (tmp_path / "data.json").write_text(json.dumps(records, indent=2))
    split(tmp_path / "data.json", 2)
    rows = [
        json.loads(row)
        for n in range(2)
        for row in (tmp_path / "splits" / f"data_split_0{n}.json").read_text().splitlines()
    ]
    assert sorted(rows, key=lambda row: row["audio_filepath"]) == records


def test_lines_without_a_duration_count_as_the_mean(tmp_path: Path) -> None:
    known = [line(n, 4.0) for n in range(20)]
    unknown = [line(n, None) for n in range(20, 40)] + [line(40, 0), line(41, 0)]
    data = write(tmp_path / "data.jsonl", known + unknown)
    summary = split(data, 2)
    assert summary.without_duration == 22
    assert "22 lines without a duration" in SplitReport(summary).view()
    index = read_index(Path(summary.index))
    assert index is not None
    assert [part.utterances for part in index.splits] == [21, 21]


def test_more_splits_than_lines_leave_empty_files(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(0), line(1)])
    summary = split(data, 5)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "splits").glob("*_split_*"))]
    assert sizes[0] > 0 and sizes[1] > 0 and sizes[2:] == [0, 0, 0]
    assert "3 of the splits are empty" in SplitReport(summary).view()


def test_names_are_padded_to_the_number_of_splits(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(0)])
    split(data, 100, output_dir=str(tmp_path / "hundred"))
    split(data, 101, output_dir=str(tmp_path / "more"))
    assert (tmp_path / "hundred" / "data_split_99.jsonl").exists()
    assert (tmp_path / "more" / "data_split_000.jsonl").exists()
    assert (tmp_path / "more" / "data_split_100.jsonl").exists()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{oops", "not valid JSON"),
        ('{"duration": 1}', '"audio_filepath" must be'),
        ('{"audio_filepath": "/a.wav", "duration": -1}', '"duration" must be'),
        ("[1]", "expected a JSON object"),
    ],
)
def test_a_malformed_line_is_named_before_anything_is_written(
    tmp_path: Path, bad: str, reason: str
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(line(0)) + "\n\n" + bad + "\n")
    with pytest.raises(ManifestError, match=reason) as error:
        split(data, 2)
    assert f"{data}, line 3: " in str(error.value)
    assert not (tmp_path / "splits").exists()


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(0)])
    for options in (
        {"splits": 0},
        {"splits": 100_001},
        {"splits": 999_999_999},
        {"splits": 2, "by": "size"},
    ):
        with pytest.raises(UsageError):
            split(data, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not a manifest"):
        split(write(tmp_path / "data.txt", [line(0)]), 2)
    with pytest.raises(UsageError, match="can't be read"):
        split(tmp_path / "none.jsonl", 2)


def test_the_same_splits_are_not_made_again(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(9)])
    first = split(data, 3)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "splits").iterdir()}
    again = split(data, 3)
    assert not first.unchanged and again.unchanged
    assert "nothing to do" in SplitReport(again).view()
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "splits").iterdir()} == before


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_damaged_split_is_made_again(tmp_path: Path, damage: str) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(9)])
    split(data, 3)
    before = contents(tmp_path / "splits")
    part = tmp_path / "splits" / "data_split_01.jsonl"
    part.unlink() if damage == "removed" else part.write_bytes(part.read_bytes()[:-5])
    assert not split(data, 3).unchanged
    assert contents(tmp_path / "splits") == before


def test_other_splits_are_refused_and_restart_replaces_exactly_them(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(9)])
    split(data, 4)
    folder = tmp_path / "splits"
    (folder / "data_split_00.asr.jsonl").write_text("not ours")
    (folder / "data_split_03.jsonl.part").write_text("not ours")
    before = contents(folder)

    with pytest.raises(OutputConflict, match=r"4 splits of .*, not 3; --restart") as error:
        split(data, 3)
    assert str(folder / "data_splits.json") in str(error.value)
    with pytest.raises(OutputConflict, match="by duration, not by count"):
        split(data, 4, by="count")
    write(data, [line(n) for n in range(10)])
    with pytest.raises(OutputConflict, match="an earlier state of"):
        split(data, 4)
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other" / "data.jsonl", [line(n) for n in range(10)])
    with pytest.raises(OutputConflict, match="another manifest"):
        split(other, 4, output_dir=str(folder))
    assert contents(folder) == before

    split(data, 3, restart=True)
    assert names(folder) == [
        "data_split_00.asr.jsonl",
        "data_split_00.jsonl",
        "data_split_01.jsonl",
        "data_split_02.jsonl",
        "data_split_03.jsonl.part",
        "data_splits.json",
    ]


def test_a_malformed_line_leaves_old_splits_alone_even_with_restart(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(4)])
    split(data, 2)
    before = contents(tmp_path / "splits")
    data.write_text("nonsense\n")
    with pytest.raises(ManifestError):
        split(data, 3, restart=True)
    assert contents(tmp_path / "splits") == before


def test_files_no_index_lists_are_never_overwritten(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(4)])
    (tmp_path / "splits").mkdir()
    stray = tmp_path / "splits" / "data_split_07.jsonl"
    stray.write_text("somebody's work\n")
    for restart in (False, True):
        with pytest.raises(OutputConflict, match=r"data_split_07\.jsonl: is in the way"):
            split(data, 2, restart=restart)
    assert names(tmp_path / "splits") == ["data_split_07.jsonl"]


def test_two_manifests_share_a_folder(tmp_path: Path) -> None:
    for stem in ("dev", "dev_split"):
        split(write(tmp_path / f"{stem}.jsonl", [line(n) for n in range(4)]), 2)
    assert split(tmp_path / "dev.jsonl", 2).unchanged
    assert len(names(tmp_path / "splits")) == 6


KILLED = """
import os, sys
from speechkit.splitting.split import SplitOptions, split_manifest
left = int(sys.argv[3])
from pathlib import Path
real = Path.replace
def counted(self, target):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return real(self, target)
Path.replace = counted
split_manifest(SplitOptions(sys.argv[1], 4, sys.argv[2]))
"""


@pytest.mark.parametrize("published", range(6))
def test_an_interrupted_split_is_finished_by_the_same_command(
    tmp_path: Path, published: int
) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(9)])
    folder = tmp_path / "splits"
    command = [sys.executable, "-c", KILLED, str(data), str(folder), str(published)]
    assert subprocess.run(command, check=False).returncode == 9
    assert not (folder / "data_splits.json").exists()
    if published:
        with pytest.raises(OutputConflict, match="--restart"):
            split(data, 3)
    split(data, 4)
    assert names(folder) == [*(f"data_split_0{n}.jsonl" for n in range(4)), "data_splits.json"]
    split(data, 3, restart=True)
    assert not (folder / "data_split_03.jsonl").exists()


def test_an_input_that_changes_meanwhile_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(9)])
    from speechkit.splitting import split as module

    write_text = module.write_text

    def and_append(path: Path, text: str) -> None:
        write_text(path, text)
        with data.open("a") as file:
            file.write(json.dumps(line(9)) + "\n")

    monkeypatch.setattr(module, "write_text", and_append)
    with pytest.raises(UsageError, match="changed while it was being split"):
        split(data, 2)
    assert names(tmp_path / "splits") == ["data_splits.json.part"]


def test_a_folder_that_cannot_be_written_gives_one_sentence(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(0)])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="can't be written"):
        split(data, 2, output_dir=str(tmp_path / "file" / "splits"))


def test_a_file_that_is_no_index_is_named(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(0)])
    (tmp_path / "splits").mkdir()
    for text in ("[]", "{", '{"splits": 3}', '{"splits": [{"file": "../x"}]}'):
        (tmp_path / "splits" / "data_splits.json").write_text(text)
        with pytest.raises(UsageError, match=r"data_splits\.json: not an index"):
            split(data, 2)


@pytest.mark.parametrize("name", ["../data.jsonl", "..", "data.jsonl", "other_split_01.jsonl"])
def test_an_index_names_nothing_but_its_splits(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(2)])
    split(data, 2)
    index = tmp_path / "splits" / "data_splits.json"
    index.write_text(index.read_text().replace("data_split_01.jsonl", name))
    with pytest.raises(UsageError, match="not an index"):
        split(data, 3, restart=True)
    assert data.exists()
    assert len(names(tmp_path / "splits")) == 3


def test_pipes_are_neither_manifest_nor_index(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UsageError, match=r"pipe\.jsonl: is not a regular file, and is read more"):
        split(tmp_path / "pipe.jsonl", 2)
    data = write(tmp_path / "data.jsonl", [line(1)])
    (tmp_path / "splits").mkdir()
    os.mkfifo(tmp_path / "splits" / "data_splits.json")
    with pytest.raises(UsageError, match=r"data_splits\.json: can't be read: not a reg"):
        split(data, 2)


def test_more_splits_than_open_files(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [line(n) for n in range(700)])
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
        "from speechkit.splitting.split import SplitOptions, split_manifest;"
        "split_manifest(SplitOptions(sys.argv[1], 300, sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, data, tmp_path / "few"], check=True)
    split(data, 300, output_dir=str(tmp_path / "many"))
    assert contents(tmp_path / "few") == contents(tmp_path / "many")
    assert len(names(tmp_path / "few")) == 301


def test_a_linked_manifest_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    write(tmp_path / "store" / "0123.jsonl", [{"audio_filepath": "a.wav"}])
    (tmp_path / "data.jsonl").symlink_to(tmp_path / "store" / "0123.jsonl")
    split(tmp_path / "data.jsonl", 1)
    part = tmp_path / "splits" / "data_split_00.jsonl"
    assert json.loads(part.read_text())["audio_filepath"] == str(tmp_path / "store" / "a.wav")


def test_array_text_and_numbers() -> None:
    assert array_text([]) == ""
    assert array_text([3, 17, 18, 19]) == "3,17-19"
    assert array_text(range(30)) == "0-29"
    assert array_text([0, 2, 3, 5]) == "0,2-3,5"
    assert split_number("data_split_03.vad.jsonl") == ("data", 3)
    assert split_number("a_split_01_split_007.jsonl") == ("a_split_01", 7)
    assert split_number("data_splits.json") is None


def test_splitting_loads_nothing_heavy() -> None:
    code = (
        "import sys, speechkit.splitting.split, speechkit.splitting.merge;"
        "sys.exit(bool({'numpy', 'torch', 'onnxruntime', 'soundfile'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_index_tells_of_slices_in_several_splits(tmp_path: Path) -> None:
    """However their path is spelled."""
    slices = [{"audio_filepath": name, "offset": at} for at, name in enumerate(("/d/./x", "/d/x"))]
    for count, apart in ((2, True), (1, False)):
        folder = tmp_path / str(count)
        split(write(tmp_path / "data.jsonl", slices), count, by="count", output_dir=str(folder))
        index = read_index(folder / "data_splits.json")
        assert index
        assert (index.audio.folder, index.audio.alike, index.audio.apart) == ("/d", False, apart)
    changed = (tmp_path / "1" / "data_splits.json").read_text().replace('"apart": false', '"a": 0')
    (tmp_path / "1" / "data_splits.json").write_text(changed)
    with pytest.raises(UsageError, match="not an index of splits"):
        read_index(tmp_path / "1" / "data_splits.json")
