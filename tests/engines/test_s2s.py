"""The s2s command from end to end, with tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from runkit import records
from speechkit.compat import fairseq_checkpoint
from speechkit.errors import UsageError
from speechkit.io import audio
from speechkit.io.inputs import Inputs
from speechkit.runtime.worker_plan import Hardware
from speechkit.stages.s2s.quantizer_training import train_quantizer
from speechkit.stages.s2s.stage import S2sOptions

pytestmark = pytest.mark.slow

Parts = dict[str, list[object]]
BESIDE = [".s2s.json", ".s2s.jsonl.run.json", "s2s.jsonl"]  # what lies beside the speech


@pytest.fixture(scope="module")
def parts(s2s_models: Path) -> Parts:
    units = ["--model", s2s_models / "hubert-dict.pt", "--layer", 2]
    return {
        "model": units,
        "units": [*units, "--quantizer", s2s_models / "km.npz"],
        "speech": ["--vocoder", s2s_models / "vocoder" / "g.pt"],
        "predicted": ["--vocoder", s2s_models / "vocoder-multi" / "g.pt", "--speaker", 1],
    }


@pytest.fixture(scope="module")
def few(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with equal names: two seconds of a recording in three formats and places."""
    folder: Path = tmp_path_factory.mktemp("few")
    waveform, rate = soundfile.read(examples / "awb" / "train.flac", stop=32_000)
    for name in ("monday/talk.wav", "monday/talk.flac", "tuesday/talk.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, waveform, rate)
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def spoken(
    few: Path, parts: Parts, speechkit: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A folder with the speech of a run over ``few``, and that run."""
    folder = tmp_path_factory.mktemp("spoken") / "once"
    return folder, speechkit("s2s", few, *parts["units"], *parts["speech"], "--output-dir", folder)


def test_speech_to_units_to_speech(
    few: Path, spoken: tuple[Path, Any], parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    """At once, and in two halves by a pipe and by files: the same speech, equal names apart."""
    once, done = spoken
    assert f"s2s: 3 utterances, 0 failed -> {once / 's2s.jsonl'}\n" in done.err
    names = ["monday/talk.flac.wav", "monday/talk.wav", "tuesday/talk.wav"]
    assert files(once) == sorted([*BESIDE, *names])
    found = records(once / "s2s.jsonl")
    for name, record in zip(names, found, strict=True):
        assert record["audio_filepath_out"] == str(once / name)
        info = soundfile.info(once / name)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert info.frames == 320 * sum(record["unit_durations"])
        assert record["duration_out"] == pytest.approx(record["duration"], abs=0.05)
        assert np.abs(soundfile.read(once / name)[0]).max() > 0.01
    again = speechkit("s2s", few, *parts["units"], *parts["speech"], "--output-dir", once)
    assert "complete already, nothing computed" in again.err

    stale = (once / "s2s.jsonl").read_bytes()
    piped = speechkit("s2s", "-", *parts["units"], "--units-only", stdin=stale).out
    units = records(piped)
    assert [one["units"] for one in units] == [one["units"] for one in found]
    assert not {"audio_filepath_out", "duration_out"} & units[0].keys()
    halves = tmp_path / "halves"
    speechkit("s2s", "-", "--from-units", *parts["speech"], "--output-dir", halves, stdin=piped)
    for name in names:
        assert (halves / name).read_bytes() == (once / name).read_bytes()


def test_units_as_language_models_read_and_write_them(
    few: Path, parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    options = ["--format", "units", "--one-file", "--output-dir", text]
    speechkit("s2s", few, *parts["units"], "--units-only", *options)
    lines = (text / "s2s.units").read_text().splitlines()
    for line, record in zip(lines, records(text / "s2s.jsonl"), strict=True):
        name, units = line.split("|")
        assert name in ("monday/talk.flac", "monday/talk.wav", "tuesday/talk.wav")
        assert units == " ".join(map(str, record["units"]))
    spoken = tmp_path / "spoken"
    done = speechkit(
        "s2s", text / "s2s.units", "--from-units", *parts["predicted"], "--output-dir", spoken
    )
    assert "3 utterances, 0 failed" in done.err
    assert "monday/talk.flac.wav" in files(spoken)
    bare = b"\xef\xbb\xbf3 4 5\n\nspoken/../../x|7 8 8 7\n"
    folder = tmp_path / "bare"
    options = ["--from-units", "--durations", "keep", "--audio-format", "flac"]
    command = ["s2s", "-", *options, "--output-dir", folder]
    speechkit(*command, *parts["predicted"], stdin=bare)
    assert soundfile.info(folder / "stdin-000001.flac").frames == 3 * 320
    assert soundfile.info(folder / "spoken" / "x.flac").frames == 4 * 320
    other = [*parts["predicted"][:-1], 2, "-o", tmp_path / "other.jsonl"]
    done = speechkit(*command, *other, stdin=bare, code=2)
    assert f"{folder}: holds the output of another run" in done.err


def test_half_a_minute_and_a_hundred_samples(
    examples: Path, parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    """And whatever else goes wrong: each comes out once, with a result or with a reason."""
    seconds = 30  # two windows
    once = [audio.load(str(path), sample_rate=16_000).waveform for path in examples.rglob("*.flac")]
    long = np.concatenate(once)[: seconds * 16_000]
    made = {"a-long": long, "b-short": long[:100], "c-frame": long[8000:8400], "d": long[:32_000]}
    folder = tmp_path / "in"
    folder.mkdir()
    for name, waveform in made.items():
        soundfile.write(folder / f"{name}.wav", waveform, 16_000)
    (folder / "e-bad.wav").write_text("no audio")
    out = tmp_path / "out"
    options = [*parts["units"], "--max-window", 20, *parts["speech"], "--output-dir", out]
    done = speechkit("s2s", folder, *options, code=3)
    assert "5 utterances, 2 failed" in done.err
    found = records(out / "s2s.jsonl")
    frames = 50 * seconds - 1
    assert [sum(one.get("unit_durations", [])) for one in found] == [frames, 0, 1, 99, 0]
    assert soundfile.info(out / "a-long.wav").frames == frames * 320
    assert found[1]["error"]["type"] == "AudioTooShort"
    assert (
        "100 samples at 16 kHz, and the model's first frame needs 400"
        in found[1]["error"]["message"]
    )
    assert found[4]["error"]["type"] == "AudioUnreadable"
    assert files(out) == sorted([*BESIDE, "a-long.wav", "c-frame.wav", "d.wav"])


def test_splits_make_the_same_tree(
    few: Path, examples: Path, parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    """Each knows from the index what all of the input has in common."""
    manifest, splits = tmp_path / "data.jsonl", tmp_path / "splits"
    speechkit("manifest", few, "-o", manifest)
    whole = tmp_path / "whole"
    options = [*parts["units"], *parts["speech"], "--output-dir", whole]
    speechkit("s2s", manifest, *options, "-o", tmp_path / "whole.jsonl")
    before = {name: (whole / name).read_bytes() for name in files(whole)}
    speechkit("split-manifest", "--input", manifest, "--splits", 2, "--output-dir", splits)
    for split in sorted(splits.glob("*_split_*.jsonl")):
        speechkit("s2s", split, *options, "-o", tmp_path / "out" / split.name)
    assert {name: (whole / name).read_bytes() for name in files(whole)} == before
    pattern = tmp_path / "out" / "*_split_*.jsonl"
    merged = tmp_path / "merged.jsonl"
    speechkit(
        *["merge-results", "--input-pattern", pattern, "--output", merged, "--splits-dir", splits]
    )
    assert merged.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    (splits / "data_splits.json").unlink()
    done = speechkit(
        "s2s", splits / "data_split_00.jsonl", *options, "-o", tmp_path / "x.jsonl", code=2
    )
    assert "no data_splits.json beside it" in done.err


def test_nothing_is_written_outside(
    few: Path, parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    """Whatever an id or a path says."""
    evil = ["../../evil", "/etc/evil", "..", "a/../../../evil", "x" * 400, "nul\0l", "\ud800"]
    lines = [json.dumps({"id": name, "units": [1, 2, 3]}) for name in evil]
    out = tmp_path / "deep" / "out"
    stdin = "\n".join(lines).encode()
    speechkit("s2s", "-", "--from-units", *parts["speech"], "--output-dir", out, stdin=stdin)
    for record in records(out / "s2s.jsonl"):
        path = Path(record["audio_filepath_out"])
        assert path.is_file()
        assert path.resolve().is_relative_to(out)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_two_utterances_never_share_a_file(parts: Parts, speechkit: Any, tmp_path: Path) -> None:
    lines = b'{"id": "a", "units": [1]}\n{"id": "../a", "units": [2]}\n'
    options = ["--from-units", *parts["speech"], "--output-dir", tmp_path / "out"]
    done = speechkit("s2s", "-", *options, stdin=lines, code=2)
    assert "utterances 1 and 2 would both be written to" in done.err


def test_input_is_never_overwritten(
    few: Path, parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    options = [*parts["units"], *parts["speech"], "--output-dir"]
    assert "lies in the input folder" in speechkit("s2s", few, *options, few, code=2).err
    for folder in (few, few / "monday" / ".." / ".." / few.name):
        done = speechkit("s2s", few / "monday" / "talk.wav", *options, folder, code=2)
        assert f"{few}: holds input" in done.err
    link = tmp_path / "link"
    link.symlink_to(few)
    done = speechkit("s2s", few / "monday" / "talk.wav", *options, link, code=2)
    assert f"{link}: holds input" in done.err
    elsewhere = [tmp_path / "out", "--audio-root", few / "tuesday"]
    done = speechkit("s2s", few / "monday" / "talk.wav", *options, *elsewhere, code=2)
    assert f"--audio-root {few / 'tuesday'}: " in done.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--model, --layer, --quantizer: needed to make units"),
        (["--units-only"], "--model, --layer, --quantizer: needed to make units"),
        (["--from-units"], "--vocoder: needed to make speech"),
        (["--units-only", "--from-units"], "exclude each other"),
        (["--model", "m.pt", "--layer", 1, "--quantizer", "k.npz"], "--vocoder: needed"),
        (["--from-units", "--model", "m.pt", "--vocoder", "g.pt"], "--model: not needed"),
        (["--from-units", "--vocoder", "g.pt"], "--output-dir: needed for the speech"),
        (
            ["--from-units", "--vocoder", "g.pt", "--output-dir", "o"],
            "--vocoder .*g.pt: no such file",
        ),
        (
            ["--model", "m", "--layer", 1, "--quantizer", "k", "--units-only", "--style", 1],
            "--style: not needed where no speech is made",
        ),
        (
            ["--model", "./m.pt", "--layer", 1, "--quantizer", "k", "--units-only"],
            "model ./m.pt: no such",
        ),
        (
            [
                "--engine",
                "fairseq",
                "--model",
                "m",
                "--layer",
                1,
                "--quantizer",
                "k",
                "--units-only",
                "--allow-reinit",
            ],
            "--allow-reinit: not for",
        ),
        (
            [
                "--engine",
                "nobody",
                "--model",
                "m",
                "--layer",
                1,
                "--quantizer",
                "k",
                "--units-only",
            ],
            "no s2s engine 'nobody'",
        ),
    ],
)
def test_wrong_arguments_are_one_sentence(
    arguments: list[object], reason: str, examples: Path, speechkit: Any, tmp_path: Path
) -> None:
    import re

    source = "-" if "--from-units" in arguments else examples
    code = 1 if "no such" in reason else 2
    done = speechkit("s2s", source, *arguments, code=code, cwd=tmp_path, stdin=b"a|1 2\n")
    assert re.search(reason, done.err)
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a|1 x 2\n", "stdin, line 1: expected name"),
        (b'{"id": "a"}\n', '"units" must be a list of numbers'),
        (b'{"units": [1]}\n', 'needs "id" or "audio_filepath"'),
        (b'{"id": "a", "units": [1, 2], "unit_durations": [1]}\n', '"unit_durations" must be'),
        (b'{"id": "a", "units": [1], "unit_durations": [99999999]}\n', "come to 99999999 frames"),
        (b'{"id": "a", "units": "1 2"}\n', '"units" must be a list of numbers'),
        (b'{"id": "a", "units": [1], "offset": "x"}\n', '"offset" must be seconds'),
        (b"a|99999999999\n", "stdin, line 1: expected name"),
    ],
)
def test_units_that_are_none(
    text: bytes, reason: str, parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    options = ["--from-units", *parts["speech"], "--output-dir", tmp_path / "out"]
    assert reason in speechkit("s2s", "-", *options, stdin=text, code=2).err


def test_units_that_fail_cost_themselves_alone(
    parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    text = b"a|1 2\nb|\nc|1 77\na.wav/e|1\nd|2 1\n"
    options = ["--from-units", *parts["speech"], "--output-dir", tmp_path / "out"]
    speechkit("s2s", "-", *options, stdin=text, code=3)
    errors = [one.get("error", {}).get("message") for one in records(tmp_path / "out/s2s.jsonl")]
    assert errors[:3] == [
        None,
        "the list of units is empty",
        "unit 77: the vocoder has the units 0 to 49",
    ]
    # Whichever of the two comes first has its name.
    assert sum("can't be made: " in (error or "") for error in (errors[0], errors[3])) <= 1
    assert errors[3] is None or "a.wav/e.wav: can't be made" in errors[3]
    assert errors[4] is None


def test_random_weights_are_told_of(
    few: Path, parts: Parts, s2s_models: Path, speechkit: Any, tmp_path: Path
) -> None:
    state = fairseq_checkpoint.load_inert(s2s_models / "hubert-bare.pt")
    state["model"]["encoder.pos_conv.0.weight_g"] = torch.ones(64, 1, 1)
    model = tmp_path / "other.pt"
    torch.save(state, model)
    options = ["--layer", 1, "--quantizer", s2s_models / "km.npz", "--units-only", "--limit", 1]
    refused = speechkit("s2s", few, "--model", model, *options, code=1)
    assert "--allow-reinit takes random ones nevertheless" in refused.err
    summary = tmp_path / "summary.json"
    done = speechkit("s2s", few, "--model", model, *options, "--allow-reinit", "--summary", summary)
    name = "encoder.pos_conv_embed.conv.parametrizations.weight.original0"
    assert f"RANDOM numbers instead of the weight {name}" in done.err
    assert json.loads(summary.read_text())["device"]["reinitialised"] == [name]


def test_a_quantizer_is_trained_and_used(
    examples: Path, few: Path, parts: Parts, speechkit: Any, tmp_path: Path
) -> None:
    """The same one always; here with a unit for every frame."""
    target = tmp_path / "km.npz"
    idle = speechkit("s2s", examples, *parts["units"], "--units-only", "--clusters", 2, code=2)
    assert "--clusters: needs --train-quantizer" in idle.err
    speech = examples / "awb"
    command = ["s2s", speech, *parts["model"], "--train-quantizer", target, "--clusters", 20]
    done = speechkit(*command)
    assert f"{target}: 20 units, fitted to " in done.err
    assert "exists; --restart replaces it" in speechkit(*command, code=2).err
    with np.load(target, allow_pickle=False) as made:
        centroids = made["centroids"]
        assert centroids.shape == (20, 64)
        assert centroids.dtype == np.float32
    options = S2sOptions(model=str(parts["model"][1]), layer=2)
    again = [options, Hardware(device="cpu"), Inputs([str(speech)]), tmp_path / "again.npz"]
    train_quantizer(*again, clusters=20, most_frames=10**6)
    assert (tmp_path / "again.npz").read_bytes() == target.read_bytes()
    with pytest.raises(UsageError, match="are not enough for 100000 units"):
        train_quantizer(*again, clusters=100_000, most_frames=10**6)
    frames = ["--quantizer", target, "--units-only", "--keep-repeats", "--limit", 1]
    record = json.loads(speechkit("s2s", few, *parts["model"], *frames).out)
    assert max(record["units"]) < 20
    assert set(record["unit_durations"]) == {1}
    assert len(record["units"]) == pytest.approx(record["duration"] * 50, abs=1)


def test_a_pickled_kmeans_is_converted_once_it_is_trusted(
    s2s_models: Path, speechkit: Any, tmp_path: Path
) -> None:
    source, target = s2s_models / "km.bin", tmp_path / "km.npz"
    refused = speechkit("convert-quantizer", source, target, code=2)
    assert "loading it runs the code in it; add --trust" in refused.err
    assert not target.exists()
    done = speechkit("convert-quantizer", source, target, "--trust")
    assert done.err == f"{target}: 50 units of 64 numbers\n"
    with np.load(target) as ours, np.load(s2s_models / "km.npz") as theirs:
        assert np.array_equal(ours["centroids"], theirs["centroids"])
    assert (
        "exists; name another"
        in speechkit("convert-quantizer", source, target, "--trust", code=2).err
    )
    text = tmp_path / "text.bin"
    text.write_text("no k-means")
    target = tmp_path / "text.npz"
    assert "not a k-means" in speechkit("convert-quantizer", text, target, "--trust", code=1).err
