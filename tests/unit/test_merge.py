import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechkit.errors import ManifestError, OutputFailed, UsageError
from speechkit.io.manifest import dump, read_records
from speechkit.reports.merge import MergeReport
from speechkit.splitting.merge import merge_results
from speechkit.splitting.merge_inputs import MergeOptions
from speechkit.splitting.merge_summary import MergeSummary
from speechkit.splitting.split import SplitOptions, split_manifest

Record = dict[str, Any]


def stage(source: Path, target: Path) -> None:
    """A stage: passes every key on and adds its own."""
    target.parent.mkdir(exist_ok=True)
    rows = []
    for record in read_records(str(source)):
        length = 2.5 if record.get("duration") is None else record["duration"]
        result = {**record, "duration": length, "pred_text": f"<{record.get('text')}>"}
        rows.append(dump(result) + "\n")
    text = "".join(rows).encode()
    target.write_bytes(gzip.compress(text) if target.suffix == ".gz" else text)


class Work:
    """A folder with 12 utterances in 4 splits whose results are complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data.jsonl"
        self.final = folder / "final.jsonl"
        rows = [
            {"audio_filepath": f"a/{n}.wav", "duration": 1.0, "text": str(n)} for n in range(12)
        ]
        self.data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        split_manifest(SplitOptions(str(self.data), 4, str(folder / "splits")))
        for part in (folder / "splits").glob("*_split_*"):
            stage(part, folder / "output" / part.name)
        stage(self.data, folder / "whole.jsonl")
        self.whole = (folder / "whole.jsonl").read_bytes()

    def output(self, split: int) -> Path:
        return self.folder / "output" / f"data_split_{split:02d}.jsonl"

    def rows(self, split: int) -> list[str]:
        return self.output(split).read_text().splitlines(keepends=True)

    def merge(self, pattern: str = "output/*_split_*.jsonl", **more: Any) -> MergeSummary:
        options = {"splits_dir": str(self.folder / "splits"), **more}
        return merge_results(MergeOptions(str(self.folder / pattern), str(self.final), **options))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def audio(work: Work, number: int) -> str:
    return f"{work.folder}/a/{number}.wav for 1.0 s"


def test_complete_results_merge_to_what_one_run_writes(work: Work) -> None:
    summary = work.merge()
    assert summary.complete and summary.written and summary.proven
    assert (summary.expected, summary.present, summary.failed, summary.files) == (12, 12, 0, 4)
    assert summary.array == ""
    assert work.final.read_bytes() == work.whole
    assert MergeReport(summary).view() == f"{work.final}: 12 utterances from 4 files"


def test_a_manifest_serves_where_there_is_no_index(work: Work) -> None:
    summary = work.merge(manifest=str(work.data), splits_dir=str(work.folder / "nowhere"))
    assert summary.complete and summary.proven
    assert work.final.read_bytes() == work.whole


def test_a_missing_split_is_named_with_its_index(work: Work) -> None:
    work.output(1).unlink()
    work.output(1).with_name("data_split_01.jsonl.part").write_text("begun")
    work.output(3).unlink()
    summary = work.merge()
    assert not summary.complete and not summary.written and not work.final.exists()
    lost = [(fault.utterance, fault.where, fault.split) for fault in summary.missing]
    assert lost == [
        (audio(work, n), f"{work.data}, line {n + 1}", n % 4) for n in range(12) if n % 4 in (1, 3)
    ]
    assert (summary.without_output, summary.begun, summary.rerun) == ((1, 3), (1,), (1, 3))
    assert summary.array == "--array=1,3"
    text = MergeReport(summary).view()
    assert "not written, 6 of 12 utterances from 2 files" in text
    assert "6 missing:" in text and f"{audio(work, 1)} ({work.data}, line 2, split 1)" in text
    assert "splits without an output: 1,3 (begun: 1)" in text
    assert text.endswith("rerun --array=1,3")


def test_ranges_of_splits_are_shortened(work: Work) -> None:
    for split in (1, 2, 3):
        work.output(split).unlink()
    assert work.merge().array == "--array=1-3"


def test_a_missing_line_is_traced_to_its_split(work: Work) -> None:
    rows = work.rows(2)
    work.output(2).write_text(rows[0] + rows[2])
    summary = work.merge()
    assert [(f.utterance, f.split) for f in summary.missing] == [(audio(work, 6), 2)]
    assert summary.array == "--array=2"
    assert summary.without_output == ()
    assert summary.remove == (str(work.output(2)),)
    assert f"first remove {work.output(2)}" in MergeReport(summary).view()


def test_a_duplicated_line_is_named(work: Work) -> None:
    work.output(1).write_text("".join(work.rows(1)) + work.rows(0)[2])
    summary = work.merge()
    assert not summary.complete and summary.present == 12 and not work.final.exists()
    (fault,) = summary.duplicate
    assert fault.utterance == audio(work, 8)
    assert fault.where == f"{work.output(1)}, line 4"
    assert fault.detail == f"the first is in {work.output(0)}"
    assert not (summary.missing or summary.extra or summary.conflicting or summary.rerun)
    assert (
        f"1 duplicate:\n  {audio(work, 8)} ({work.output(1)}, line 4, split 1)"
        in MergeReport(summary).view()
    )


def test_an_extra_line_is_named(work: Work) -> None:
    stranger = {"audio_filepath": "/b.wav", "offset": 1.5, "duration": 2, "pred_text": "x"}
    work.output(3).write_text("".join(work.rows(3)) + json.dumps(stranger) + "\n")
    summary = work.merge()
    (fault,) = summary.extra
    assert (fault.utterance, fault.where) == (
        "/b.wav from 1.5 s for 2 s",
        f"{work.output(3)}, line 4",
    )
    assert not summary.complete and not work.final.exists()
    assert "1 not in the input:" in MergeReport(summary).view()


def test_a_conflicting_line_is_named_with_both_splits(work: Work) -> None:
    other = json.loads(work.rows(0)[1]) | {"pred_text": "other"}
    work.output(2).write_text("".join(work.rows(2)) + json.dumps(other) + "\n")
    summary = work.merge()
    (fault,) = summary.conflicting
    assert (fault.utterance, fault.where) == (audio(work, 4), f"{work.output(2)}, line 4")
    assert fault.detail == f"the first is in {work.output(0)}"
    assert summary.array == "--array=0,2"
    assert not summary.duplicate and not summary.complete


def test_a_torn_line_is_named_with_its_split(work: Work) -> None:
    work.output(2).write_bytes(work.output(2).read_bytes()[:-9])
    summary = work.merge()
    (fault,) = summary.unreadable
    assert fault.where == f"{work.output(2)}, line 3"
    assert "not valid JSON" in fault.detail
    assert summary.array == "--array=2"
    assert [fault.utterance for fault in summary.missing] == [audio(work, 10)]


@pytest.mark.parametrize("damage", [lambda b: b[:-12], lambda b: b"\x1f\x8bnonsense"])
def test_a_damaged_packed_output_is_named(work: Work, damage: Callable[[bytes], bytes]) -> None:
    packed = work.output(2).with_suffix(".jsonl.gz")
    packed.write_bytes(damage(gzip.compress(work.output(2).read_bytes())))
    work.output(2).unlink()
    summary = work.merge("output/*_split_*")
    assert summary.unreadable[0].where == str(packed)
    assert summary.array == "--array=2"


def test_every_fault_at_once(work: Work) -> None:
    work.output(1).unlink()
    rows = work.rows(0)
    changed = json.dumps(json.loads(rows[2]) | {"pred_text": "other"}) + "\n"
    work.output(0).write_text("".join(rows) + rows[0] + changed + '{"id": "new"}\n{\n')
    summary = work.merge(allow_partial=True)
    kinds = (summary.missing, summary.extra, summary.duplicate, summary.conflicting)
    assert [len(faults) for faults in (*kinds, summary.unreadable)] == [3, 1, 1, 1, 1]
    assert summary.extra[0].utterance == "new"
    assert summary.array == "--array=0-1"
    assert not summary.complete and summary.written
    lines = work.whole.splitlines(keepends=True)
    assert work.final.read_bytes() == b"".join(lines[n] for n in range(12) if n % 4 != 1)
    assert "incomplete, 9 of 12 utterances" in MergeReport(summary).view()


def test_only_ten_of_a_kind_are_printed(tmp_path: Path) -> None:
    rows = [{"id": n, "audio_filepath": "/a.wav"} for n in range(30)]
    (tmp_path / "data.jsonl").write_text("".join(dump(row) + "\n" for row in rows))
    (tmp_path / "out.jsonl").write_text(dump(rows[0]) + "\n")
    summary = merge_results(
        MergeOptions(
            str(tmp_path / "out.jsonl"),
            str(tmp_path / "final.jsonl"),
            manifest=str(tmp_path / "data.jsonl"),
        )
    )
    assert [fault.utterance for fault in summary.missing] == [str(n) for n in range(1, 30)]
    assert "  10 (" in MergeReport(summary).view() and "  11 (" not in MergeReport(summary).view()
    assert "… and 19 more" in MergeReport(summary).view()


def test_failed_utterances_are_results(work: Work) -> None:
    rows = work.rows(0)
    failed = json.loads(rows[0]) | {"error": {"type": "AudioEmpty", "message": "no samples"}}
    work.output(0).write_text(dump(failed) + "\n" + "".join(rows[1:]))
    summary = work.merge()
    assert summary.complete and summary.failed == 1
    assert "12 utterances from 4 files, 1 of them failed" in MergeReport(summary).view()


def test_a_changed_or_lost_parent_is_refused(work: Work) -> None:
    with work.data.open("a") as file:
        file.write(json.dumps({"audio_filepath": "/new.wav"}) + "\n")
    with pytest.raises(UsageError, match=r"has changed since .*--manifest"):
        work.merge()
    work.data.unlink()
    with pytest.raises(UsageError, match="restore it, or give --manifest"):
        work.merge()


def test_a_new_line_that_no_split_holds_is_said(work: Work) -> None:
    with work.data.open("a") as file:
        file.write(json.dumps({"audio_filepath": "/new.wav"}) + "\n")
    summary = work.merge(manifest=str(work.data))
    (fault,) = summary.missing
    assert (fault.utterance, fault.split) == ("/new.wav", None)
    assert "in none of the splits" in fault.detail
    assert summary.array == ""


def test_a_lost_split_file_is_named(work: Work) -> None:
    work.output(2).unlink()
    (work.folder / "splits" / "data_split_02.jsonl").unlink()
    summary = work.merge()
    assert summary.array == "--array=2"
    assert len(summary.missing) == 3
    assert summary.broken_splits == (str(work.folder / "splits" / "data_split_02.jsonl"),)
    assert "run split-manifest again" in MergeReport(summary).view()


def test_without_manifest_and_index_completeness_is_unproven(work: Work) -> None:
    nowhere = str(work.folder / "nowhere")
    summary = work.merge(splits_dir=nowhere)
    assert summary.complete and not summary.proven
    assert (
        "completeness is unproven" in MergeReport(summary).view()
        and "--manifest" in MergeReport(summary).view()
    )
    outputs = [work.output(n).read_bytes() for n in range(4)]
    assert work.final.read_bytes() == b"".join(outputs)

    work.final.unlink()
    work.output(1).unlink()
    other = json.loads(work.rows(3)[0]) | {"pred_text": "other"}
    with work.output(3).open("a") as file:
        file.write(work.rows(2)[0] + json.dumps(other) + "\n")
    summary = work.merge(splits_dir=nowhere)
    assert not summary.complete and not work.final.exists()
    assert [fault.utterance for fault in summary.duplicate] == [audio(work, 2)]
    assert [fault.utterance for fault in summary.conflicting] == [audio(work, 3)]
    assert summary.array == "--array=1,3"


def test_inputs_and_output_are_not_taken_for_results(work: Work) -> None:
    everything = "**/*.jsonl"
    (work.folder / "whole.jsonl").unlink()
    assert work.merge(everything).complete
    assert work.merge(everything).complete
    assert work.final.read_bytes() == work.whole
    with pytest.raises(UsageError, match="matches no result file, but for"):
        work.merge("splits/*_split_*.jsonl")
    with pytest.raises(UsageError, match=r"none/\*: matches no result file$"):
        work.merge("none/*")


@pytest.mark.parametrize(
    "target",
    [
        "output/data_split_01.jsonl",
        "splits/data_split_01.jsonl",
        "splits/data_splits.json",
        "data.jsonl",
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_what_is_merged_is_never_overwritten(work: Work, target: str, named: bool) -> None:
    work.final.symlink_to(work.folder / target)
    before = (work.folder / target).read_bytes()
    with pytest.raises(UsageError, match=r"-o .*would be overwritten"):
        work.merge(allow_partial=True, manifest=str(work.data) if named else None)
    assert (work.folder / target).read_bytes() == before
    assert work.final.is_symlink()


def test_a_temporary_folder_that_is_full(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed results are unpacked there."""
    packed = work.output(0).with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(work.output(0).read_bytes()))
    work.output(0).unlink()
    monkeypatch.setattr(tempfile, "tempdir", str(work.folder))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OutputFailed, match=r"can't be written: .*TMPDIR"):
            work.merge("output/*_split_*.jsonl*")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_splits_of_two_manifests_are_not_mixed_up(work: Work) -> None:
    stage(work.data, work.folder / "output" / "dev_split_00.jsonl")
    with pytest.raises(UsageError, match=r"several manifests \(data, dev\)"):
        work.merge()
    summary = work.merge(manifest=str(work.data))
    assert len(summary.duplicate) == 12


def test_segments_are_not_merged_against_recordings(work: Work) -> None:
    segment = {"audio_filepath": "/a.wav", "offset": 1, "duration": 2, "parent": "/a.wav"}
    work.output(0).write_text(json.dumps(segment) + "\n")
    with pytest.raises(
        UsageError, match=r"segment of /a\.wav.*merge the results of the recordings"
    ):
        work.merge()


def test_packed_and_plain_outputs_mix(work: Work) -> None:
    for split in (0, 2):
        packed = work.output(split).with_suffix(".jsonl.gz")
        packed.write_bytes(gzip.compress(work.output(split).read_bytes()))
        work.output(split).unlink()
    assert work.merge("output/*_split_*").complete
    assert work.final.read_bytes() == work.whole
    work.final = work.folder / "final.jsonl.gz"
    assert work.merge("output/*_split_*").complete
    assert gzip.decompress(work.final.read_bytes()) == work.whole


def test_results_in_any_order_come_out_in_the_input_s(work: Work) -> None:
    for split in range(4):
        work.output(split).write_text("".join(reversed(work.rows(split))).rstrip("\n"))
    assert work.merge().complete
    assert work.final.read_bytes() == work.whole


def test_a_malformed_manifest_is_refused(work: Work) -> None:
    work.data.write_text("nonsense\n")
    with pytest.raises(ManifestError, match="line 1"):
        work.merge(manifest=str(work.data))


def test_the_merge_goes_to_stdout(work: Work, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    work.final = Path("-")
    assert work.merge().complete
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == work.whole


def test_a_result_that_changes_meanwhile_is_noticed(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    from speechkit.splitting import merge as module

    summarise = module._summarise

    def and_touch(*arguments: Any) -> MergeSummary:
        with work.output(2).open("a") as file:
            file.write("\n")
        return summarise(*arguments)

    monkeypatch.setattr(module, "_summarise", and_touch)
    with pytest.raises(UsageError, match=r"data_split_02\.jsonl: changed while"):
        work.merge()
    assert not work.final.exists()


def test_the_same_line_twice_expects_two_results(work: Work) -> None:
    text = work.data.read_text()
    (work.folder / "twice").mkdir()
    work.data = work.folder / "twice" / "data.jsonl"
    work.data.write_text(text.replace('"a/', f'"{work.folder}/a/') * 2)
    summary = work.merge(manifest=str(work.data))
    assert (summary.expected, summary.present, len(summary.missing)) == (24, 12, 12)
    for split in range(4):
        work.output(split).write_text("".join(work.rows(split) * 2))
    summary = work.merge(manifest=str(work.data))
    assert summary.complete
    assert work.final.read_bytes() == work.whole * 2


def test_channels_of_one_file_keep_their_results(tmp_path: Path) -> None:
    """Lines that share an identity and differ: each gets its own result, not just any."""
    work = Work(tmp_path)
    rows: list[Record] = [
        {"audio_filepath": f"/{n}.wav", "duration": d, "channel": channel, "text": f"{n} {channel}"}
        for n, d in enumerate((3.0, 1.0, 2.0))
        for channel in (1, 0)
    ]
    calls = tmp_path / "calls.jsonl"
    calls.write_text("".join(dump(row) + "\n" for row in rows))
    split_manifest(SplitOptions(str(calls), 5, str(tmp_path / "splits")))
    for part in (tmp_path / "splits").glob("calls_split_*"):
        stage(part, tmp_path / "calls" / part.name)
    stage(calls, tmp_path / "whole.jsonl")
    pattern = "calls/*_split_*"
    assert work.merge(pattern).complete
    assert work.final.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()

    lost = json.loads((tmp_path / "splits" / "calls_split_00.jsonl").read_text())
    (tmp_path / "calls" / "calls_split_00.jsonl").unlink()
    summary = work.merge(pattern)
    (fault,) = summary.missing
    assert fault.where == f"{calls}, line {rows.index(lost) + 1}"
    assert summary.array == "--array=0"


def test_more_results_than_open_files(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    rows = [{"audio_filepath": f"/{n}.wav", "duration": 1 + n % 7} for n in range(900)]
    data.write_text("".join(dump(row) + "\n" for row in rows))
    split_manifest(SplitOptions(str(data), 300, str(tmp_path / "splits")))
    for part in (tmp_path / "splits").glob("*_split_*"):
        stage(part, tmp_path / "output" / part.name)
    stage(data, tmp_path / "whole.jsonl")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
        "from speechkit.splitting.merge import merge_results;"
        "from speechkit.splitting.merge_inputs import MergeOptions;"
        "sys.exit(not merge_results("
        "MergeOptions(sys.argv[1], sys.argv[2], splits_dir=sys.argv[3])).complete)"
    )
    pattern, final = str(tmp_path / "output" / "*_split_*"), tmp_path / "final.jsonl"
    command = [sys.executable, "-c", code, pattern, str(final), str(tmp_path / "splits")]
    subprocess.run(command, check=True)
    assert final.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
_PATHS = st.sampled_from(["/a.wav", "/ü b.wav", "a.wav", "sub/../b.wav", "/\udcff.wav"])
_RECORDS = st.builds(
    lambda path, times, name, unknown: {**unknown, "audio_filepath": path, **times, **name},
    _PATHS,
    st.fixed_dictionaries(
        {},
        optional={
            "duration": st.sampled_from([0.5, 1, 30.25]),
            "offset": st.sampled_from([0, 3]),
            "text": st.none() | st.text(max_size=5),
        },
    ),
    st.sampled_from([{}, {}, {"id": "x"}, {"id": 7}]),
    st.dictionaries(st.text(max_size=3) | st.just("talk"), _VALUES, max_size=3),
)


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    records=st.lists(_RECORDS, min_size=1, max_size=12),
    splits=st.integers(1, 6),
    by=st.sampled_from(["duration", "count"]),
    suffix=st.sampled_from([".jsonl", ".jsonl.gz"]),
    lost=st.integers(0, 11),
)
def test_split_and_merge_give_what_one_run_gives(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[Record],
    splits: int,
    by: str,
    suffix: str,
    lost: int,
) -> None:
    """For any records, repeated ones too; and with one result lost, exactly that is missing."""
    folder = tmp_path_factory.mktemp("trip")
    data = folder / f"data{suffix}"
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    data.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    split_manifest(SplitOptions(str(data), splits, str(folder / "splits"), by=by))
    for part in (folder / "splits").glob("*_split_*"):
        stage(part, folder / "output" / part.name)
    stage(data, folder / "whole.jsonl")
    whole = (folder / "whole.jsonl").read_bytes()
    options = MergeOptions(
        str(folder / "output" / "*"), str(folder / "final.jsonl"), splits_dir=str(folder / "splits")
    )
    summary = merge_results(options)
    assert summary.complete and summary.present == len(records)
    assert (folder / "final.jsonl").read_bytes() == whole

    line = whole.splitlines(keepends=True)[lost % len(records)]
    for path in sorted((folder / "output").iterdir()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = content.splitlines(keepends=True)
        if line in rows:
            rows.remove(line)
            plain = b"".join(rows)
            path.write_bytes(gzip.compress(plain) if path.suffix == ".gz" else plain)
            break
    summary = merge_results(options)
    assert [len(summary.missing), summary.present] == [1, len(records) - 1]
    assert summary.remove == (str(path),)
    assert summary.rerun == (int(path.name.split(".")[0][-2:]),)
    assert not (summary.extra or summary.duplicate or summary.conflicting)


def test_splits_without_utterances_need_no_output(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"audio_filepath": "/a.wav"}\n')
    split_manifest(SplitOptions(str(data), 3, str(tmp_path / "splits")))
    stage(tmp_path / "splits" / "data_split_00.jsonl", tmp_path / "output" / "data_split_00.jsonl")
    stage(tmp_path / "splits" / "data_split_02.jsonl", tmp_path / "output" / "data_split_02.jsonl")
    options = MergeOptions(
        str(tmp_path / "output" / "*"),
        str(tmp_path / "final.jsonl"),
        splits_dir=str(tmp_path / "splits"),
    )
    assert merge_results(options).complete


def test_an_empty_manifest_goes_through(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("")
    for by in ("duration", "count"):
        split_manifest(SplitOptions(str(data), 2, str(tmp_path / by), by=by))
        pattern = str(tmp_path / by / "data_split_0?.jsonl")
        output = tmp_path / f"{by}.jsonl"
        summary = merge_results(MergeOptions(pattern, str(output), manifest=str(data)))
        assert summary.complete and output.read_bytes() == b""


def test_lines_longer_than_what_is_kept_of_a_file(tmp_path: Path) -> None:
    sizes = (5, 3 << 20, 7, 2 << 20, 9)
    rows = [{"id": n, "audio_filepath": "/a", "x": "x" * size} for n, size in enumerate(sizes)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(dump(row) + "\n" for row in rows))
    results = tmp_path / "results.jsonl"
    results.write_text("".join(dump(rows[n]) + "\n" for n in (3, 0, 2, 4, 1)))
    final = tmp_path / "final.jsonl"
    assert merge_results(MergeOptions(str(results), str(final), manifest=str(data))).complete
    assert final.read_bytes() == data.read_bytes()


def test_a_manifest_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("")
    os.mkfifo(tmp_path / "pipe")
    options = MergeOptions(str(tmp_path / "results.jsonl"), "-", manifest=str(tmp_path / "pipe"))
    with pytest.raises(UsageError, match="pipe: is not a regular file, and is read more than once"):
        merge_results(options)
