"""A finished output is known as such; what failed in it can be tried again."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faultkit import Run, errors, one_sentence, run

from runkit import part_of, records, write_manifest


@pytest.fixture
def speech(few: Path, tmp_path: Path) -> Path:
    """Twenty-four recordings, three of which can't be read; `_mend` mends them."""
    folder = tmp_path / "speech"
    shutil.copytree(few, folder)
    for number, path in enumerate(sorted(folder.glob("*/*.wav"))):
        if number in (0, 11, 23):
            path.rename(path.with_suffix(".aside"))
            path.write_text("this is not audio")
    return folder


def _mend(speech: Path) -> None:
    for path in speech.glob("*/*.aside"):
        path.rename(path.with_suffix(".wav"))


def _stamp(out: Path) -> tuple[int, int]:
    return out.stat().st_mtime_ns, out.stat().st_ino


@pytest.mark.parametrize("broken", [False, True])
def test_the_same_command_again(broken: bool, speech: Path, tmp_path: Path) -> None:
    if not broken:
        _mend(speech)
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    command = ["vad", speech, "-o", out, "--summary", summary]
    first = run(tmp_path, *command)
    assert first.code == (3 if broken else 0), first.err
    before, account = _stamp(out), json.loads(summary.read_text())
    again = run(tmp_path, *command)
    assert again.code == first.code
    assert "complete already, nothing computed" in again.err
    assert _stamp(out) == before
    now = json.loads(summary.read_text())
    assert now["done"] == 0
    for key in ("utterances", "failed", "errors", "exit_code"):
        assert now[key] == account[key]
    assert now["failed"] == (3 if broken else 0)


def test_other_options_or_inputs_are_refused(speech: Path, few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(tmp_path, "vad", speech, "-o", out).code == 3
    before = _stamp(out)
    for what, command in {
        "threshold": ["vad", speech, "--threshold", 0.7],
        "emit": ["vad", speech, "--emit", "segments"],
        "stage": ["manifest", speech],
        "input": ["vad", few],
    }.items():
        for more in ([], ["--retry-failed"]):
            result = run(tmp_path, *command, *more, "-o", out)
            assert result.code == 2
            assert what in one_sentence(result)
            assert "--restart" in result.err
    assert _stamp(out) == before
    assert run(tmp_path, "vad", few, "-o", out, "--restart").code == 0
    assert len(records(out)) == 24


def test_an_output_that_lost_its_account_is_refused(speech: Path, tmp_path: Path) -> None:
    """Nothing then says which stage and options made it, so it can't be called done."""
    out = tmp_path / "out.jsonl"
    command = ["vad", speech, "-o", out]
    assert run(tmp_path, *command).code == 3
    before = _stamp(out)
    (tmp_path / ".out.jsonl.run.json").unlink()
    for more in ([], ["--retry-failed"]):
        again = run(tmp_path, *command, *more)
        assert again.code == 2
        assert ".out.jsonl.run.json" in one_sentence(again)
    assert _stamp(out) == before
    assert run(tmp_path, *command, "--restart").code == 3


def test_an_output_that_was_changed_is_not_finished(speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(tmp_path, "manifest", speech, "-o", out).code == 3
    lines = out.read_bytes().splitlines(keepends=True)
    for fewer in (lines[:12], lines[1:], lines[:5] + lines[6:], []):
        out.write_bytes(b"".join(fewer))
        for more in ([], ["--retry-failed"]):
            result = run(tmp_path, "manifest", speech, "-o", out, *more)
            assert result.code == 2, result.err
            assert "changed since" in one_sentence(result)


@pytest.fixture(scope="module")
def joined(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight recordings of three stretches of speech each."""
    folder = tmp_path_factory.mktemp("joined")
    pieces = [soundfile.read(path, dtype="int16") for path in sorted(few.glob("*/*.wav"))]
    rate = 16_000
    speech = [samples for samples, its in pieces if its == rate and samples.ndim == 1]
    for number in range(8):
        three = [speech[(3 * number + n) % len(speech)] for n in range(3)]
        pause = np.zeros(rate // 2, np.int16)
        whole = np.concatenate([part for samples in three for part in (samples, pause)])
        soundfile.write(folder / f"{number}.wav", whole, rate)
    return folder


def _commands(speech: Path, folder: Path) -> dict[str, list[object]]:
    """Stages whose outputs look differently."""
    cut = folder / "cut.jsonl"
    assert run(folder, "vad", speech, "--emit", "segments", "-o", cut).code == 0
    lines = records(cut)
    assert len(lines) > 16
    named = [{**line, "id": f"{Path(line['parent']).stem}-{n}"} for n, line in enumerate(lines)]
    return {
        "recordings": ["vad", speech],
        "segments": ["vad", speech, "--emit", "segments"],
        "of segments": ["vad", cut],
        "of named segments": ["vad", write_manifest(folder / "named.jsonl", named)],
        "segments of segments": ["vad", cut, "--emit", "segments", "--min-silence", 0.05],
    }


STAGES = ("recordings", "segments", "of segments", "of named segments", "segments of segments")


@pytest.mark.parametrize("stage", STAGES)
def test_retry_failed(stage: str, joined: Path, tmp_path: Path) -> None:
    """Files come back, and the retried output is what a run without any trouble gives."""
    speech = tmp_path / "speech"
    shutil.copytree(joined, speech)
    command = _commands(speech, tmp_path)[stage]
    clean, out = tmp_path / "clean.jsonl", tmp_path / "out.jsonl"
    assert run(tmp_path, *command, "-o", clean).code == 0
    for name in ("0.wav", "3.wav", "7.wav"):
        (speech / name).write_text("this is not audio")
    if "of" in stage:  # the length of each is stated there, so the last ones are missed
        (speech / "5.wav").write_bytes((joined / "5.wav").read_bytes()[:50_000])
    assert run(tmp_path, *command, "-o", out).code == 3
    failed = errors(out)
    assert "AudioUnreadable" in failed
    assert ("AudioTruncated" in failed) == ("of" in stage)
    still = run(tmp_path, *command, "-o", out, "--retry-failed")
    assert still.code == 3
    assert errors(out) == failed
    shutil.copytree(joined, speech, dirs_exist_ok=True)
    mended = run(tmp_path, *command, "-o", out, "--retry-failed")
    assert mended.code == 0, mended.err
    everything = int(mended.err.split(" utterances")[0].split()[-1])
    kept = everything - sum(kind is not None for kind in failed)
    assert f"{kept} of them were done by an earlier run" in mended.err
    assert out.read_bytes() == clean.read_bytes()
    again = run(tmp_path, *command, "-o", out, "--retry-failed")
    assert again.code == 0
    assert "complete already" in again.err


@pytest.mark.slow
@pytest.mark.parametrize("emit", ["recordings", "segments"])
def test_a_retry_that_is_killed(emit: str, seed: int, speech: Path, tmp_path: Path) -> None:
    rng = random.Random(seed)
    clean, out = tmp_path / "clean.jsonl", tmp_path / "out.jsonl"
    command = ["vad", speech, "--emit", emit]
    assert run(tmp_path, *command, "-o", out).code == 3
    _mend(speech)
    assert run(tmp_path, *command, "-o", clean).code == 0
    before = {path: path.read_bytes() for path in (out, tmp_path / ".out.jsonl.run.json")}
    longest = Run(tmp_path, *command, "-o", tmp_path / "other.jsonl").wait().seconds
    killed = 0
    while killed < 3:
        going = Run(tmp_path, *command, "-o", out, "--retry-failed")
        if going.finishes_within(rng.uniform(0.2, longest)):
            assert going.wait().code == 0
            assert out.read_bytes() == clean.read_bytes()
            for path, content in before.items():
                path.write_bytes(content)
            continue
        going.process.kill()
        going.wait()
        killed += 1
        assert out.read_bytes() in (before[out], clean.read_bytes())
    begun = part_of(out).exists()
    # What has begun goes on whether or not it is asked for again.
    last = run(tmp_path, *command, "-o", out, *([] if begun else ["--retry-failed"]))
    assert last.code == 0, last.err
    assert out.read_bytes() == clean.read_bytes()
    assert not part_of(out).exists()


def test_a_null_error_is_none(few: Path, tmp_path: Path) -> None:
    """As a table of all results gives it back, where some lines have an error."""
    lines = [{"audio_filepath": str(path), "error": None} for path in sorted(few.glob("*/*.wav"))]
    source, out = write_manifest(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    assert run(tmp_path, "manifest", source, "-o", out).code == 0
    assert all("duration" in record for record in records(out))


@pytest.mark.parametrize("error", ["gone", {"message": "no type"}, {"message": "m", "type": "T"}])
def test_an_error_of_any_shape_is_carried_and_counted(
    error: object, few: Path, tmp_path: Path
) -> None:
    lines = [{"audio_filepath": str(path)} for path in sorted(few.glob("*/*.wav"))]
    lines[3] |= {"error": error}
    source, out = write_manifest(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    streamed = run(tmp_path, "manifest", source)
    for _ in range(2):
        filed = run(tmp_path, "manifest", source, "-o", out)
        assert filed.code == streamed.code == 3
    assert out.read_bytes() == streamed.out
    assert records(out)[3] == lines[3]
    assert run(tmp_path, "manifest", source, "-o", out, "--retry-failed").code == 3
