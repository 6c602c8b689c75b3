"""Unfinished outputs that were torn, spoilt, or belong to somebody else."""

from __future__ import annotations

import json
import random
import shutil
import zlib
from itertools import chain
from pathlib import Path

import pytest
from faultkit import Unbroken, kill_in_mid_run, one_sentence, run

from runkit import part_of, write_manifest
from speechkit.io.journal import Journal
from speechkit.io.run_identity import RunIdentity

IDENTITY = RunIdentity("vad", {"engine": "ten"}, "an input", 40)


@pytest.fixture(scope="module")
def lines(ten: Unbroken) -> list[list[str]]:
    """Results of forty utterances: most gave a line, some gave none, some three."""
    real = ten.output.decode().splitlines()
    return [real[n : n + (0 if n % 7 == 3 else 3 if n % 5 == 0 else 1)] for n in range(40)]


@pytest.fixture
def part(lines: list[list[str]], tmp_path: Path) -> bytes:
    with Journal(tmp_path / "out.jsonl", IDENTITY) as journal:
        for index in random.Random(1).sample(range(40), 40):
            journal.append(index, lines[index])
        journal.flush()
    return part_of(tmp_path / "out.jsonl").read_bytes()


def _finish(folder: Path, spoilt: bytes, lines: list[list[str]]) -> int:
    """How many results a run finds in the spoilt part; it computes the others and publishes."""
    out = folder / "out.jsonl"
    part_of(out).write_bytes(spoilt)
    with Journal(out, IDENTITY) as journal:
        found = journal.count
        for index in range(40):
            if not journal.done(index):
                journal.append(index, lines[index])
        journal.publish(chain.from_iterable(journal.lines()), dict)
    assert out.read_text().splitlines() == [line for some in lines for line in some]
    out.unlink()
    return found


def test_cut_at_each_byte_of_its_last_two_lines(
    part: bytes, lines: list[list[str]], tmp_path: Path
) -> None:
    ends = [n + 1 for n, byte in enumerate(part) if byte == ord("\n")]
    for length in range(ends[-3], len(part) + 1):
        whole = sum(length >= end for end in ends) - 1
        assert _finish(tmp_path, part[:length], lines) == whole, length


def test_cut_within_its_header(part: bytes, lines: list[list[str]], tmp_path: Path) -> None:
    for length in range(part.index(b"\n") + 1):
        assert _finish(tmp_path, part[:length], lines) == 0, length


def test_spoilt_in_the_middle(
    part: bytes, lines: list[list[str]], seed: int, tmp_path: Path
) -> None:
    """Blocks overwritten with zeros or noise, bits flipped, bytes put in or lost."""
    rng = random.Random(seed)
    begin = part.index(b"\n") + 1
    for trial in range(200):
        at = rng.randrange(begin, len(part))
        length = rng.choice([1, 7, 300, 4096])
        match trial % 5:
            case 0:
                spoilt = part[:at] + bytes(length) + part[at + length :]
            case 1:
                spoilt = part[:at] + rng.randbytes(length) + part[at + length :]
            case 2:
                spoilt = part[:at] + bytes([part[at] ^ (1 << rng.randrange(8))]) + part[at + 1 :]
            case 3:
                spoilt = part[:at] + rng.randbytes(length) + part[at:]
            case _:
                spoilt = part[:at] + part[at + length :]
        assert _finish(tmp_path, spoilt, lines) < 41


def test_a_line_glued_to_another_is_computed_again(
    part: bytes, lines: list[list[str]], tmp_path: Path
) -> None:
    """Two halves that together are well-formed JSON."""
    header, first, second, *rest = part.splitlines(keepends=True)
    cut = first.index(b'"segments"'), second.index(b'"segments"')
    glued = b"".join([header, first[: cut[0]] + second[cut[1] :], *rest])
    assert _finish(tmp_path, glued, lines) == 38


@pytest.fixture(scope="module")
def left(ten: Unbroken, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The part of a run that was killed."""
    folder = tmp_path_factory.mktemp("left")
    kill_in_mid_run(folder, *ten.args, out=folder / "out.jsonl")
    return part_of(folder / "out.jsonl").read_bytes()


@pytest.mark.parametrize("harm", ["torn", "spoilt", "header only", "empty"])
def test_the_command_goes_on(harm: str, ten: Unbroken, left: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    middle = len(left) // 2
    part_of(out).write_bytes(
        {
            "torn": left[: left.rindex(b"\n") - 50],
            "spoilt": left[:middle] + bytes(4096) + left[middle + 4096 :],
            "header only": left[: left.index(b"\n") + 1],
            "empty": b"",
        }[harm]
    )
    again = run(tmp_path, *ten.args, "-o", out)
    assert again.code == 0, again.err
    assert ("of them were done by an earlier run" in again.err) == (harm in ("torn", "spoilt"))
    assert out.read_bytes() == ten.output


@pytest.mark.parametrize(
    "content",
    [
        b"what I wrote yesterday\n",
        b"no newline",
        b"RIFF\0\0\0\0" * 10,
        b"[]\n",
        b"{}\n",
        b"\0" * 99,
    ],
)
def test_a_foreign_file_is_left_alone(content: bytes, few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    part_of(out).write_bytes(content)
    command = ["manifest", few, "-o", out]
    result = run(tmp_path, *command)
    assert result.code == 2
    assert "--restart" in one_sentence(result)
    assert part_of(out).read_bytes() == content
    assert run(tmp_path, *command, "--restart").code == 0
    assert out.read_bytes() == run(tmp_path, "manifest", few).out


def test_a_part_of_another_run(
    ten: Unbroken, left: bytes, speech: Path, few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    part_of(out).write_bytes(left)
    others = {
        "threshold": ["vad", speech, "--threshold", 0.6],
        "engine": ["vad", speech, "--engine", "silero"],
        "stage": ["manifest", speech],
        "another input": ["vad", few],
        "input": ["vad", speech, "--limit", 150],
    }
    for what, command in others.items():
        result = run(tmp_path, *command, "-o", out)
        assert result.code == 2
        assert what in one_sentence(result)
        assert "--restart" in result.err
        assert part_of(out).read_bytes() == left
    # How it is run makes no other run of it: fewer workers go on with the same part.
    again = run(tmp_path, *ten.args, "--workers", 1, "-o", out)
    assert again.code == 0
    assert "of them were done by an earlier run" in again.err
    assert out.read_bytes() == ten.output


@pytest.mark.parametrize(
    ("state", "emit"), [("unfinished", "segments"), ("finished", "recordings")]
)
def test_a_moved_folder_goes_on(state: str, emit: str, few: Path, tmp_path: Path) -> None:
    """With its manifest, its audio and its output; another place is no other input."""
    before, here = tmp_path / "before", tmp_path / "here"
    shutil.copytree(few, before)
    names = [str(path.relative_to(before)) for path in sorted(before.glob("*/*.wav"))]
    lines = [{"audio_filepath": name} for name in [*names, "late.wav"]]
    write_manifest(before / "in.jsonl", lines)
    command = ["--emit", emit, "--workers", 1]
    assert run(tmp_path, "vad", before / "in.jsonl", *command, "-o", before / "out.jsonl").code == 3
    if state == "unfinished":
        _unfinish(before / "out.jsonl", names)
    before.rename(here)
    shutil.copy(here / names[0], here / "late.wav")
    out = here / "out.jsonl"
    again = run(tmp_path, "vad", here / "in.jsonl", *command, "-o", out)
    assert again.code == 0, again.err
    assert "24 of them were done by an earlier run" in again.err
    fresh = run(tmp_path, "vad", here / "in.jsonl", *command)
    assert out.read_bytes() == fresh.out
    assert b"before" not in fresh.out


def _unfinish(out: Path, names: list[str]) -> None:
    """Makes a part of what is finished of these recordings, as a killed run leaves it."""
    account = json.loads((out.parent / f".{out.name}.run.json").read_text())
    keys = ("speechkit_part", "stage", "input", "written", "utterances", "options")
    lines = [(json.loads(line)["audio_filepath"], line) for line in out.read_bytes().splitlines()]
    bodies = [
        b"\t".join([b"%d" % number, *(line for path, line in lines if path.endswith(name))])
        for number, name in enumerate(names)
    ]
    header = json.dumps({key: account[key] for key in keys}).encode()
    part = [header, *(b"%08x\t%s" % (zlib.crc32(body), body) for body in bodies), b""]
    part_of(out).write_bytes(b"\n".join(part))
    out.unlink()
    (out.parent / f".{out.name}.run.json").unlink()


def test_restart_computes_all_of_it_anew(ten: Unbroken, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    kill_in_mid_run(tmp_path, *ten.args, "--threshold", 0.9, out=out)
    again = run(tmp_path, *ten.args, "-o", out, "--restart")
    assert again.code == 0
    assert "earlier run" not in again.err
    assert out.read_bytes() == ten.output
    header = json.loads((tmp_path / ".out.jsonl.run.json").read_text())
    assert header["utterances"] == ten.utterances
