"""The nemo engine on tiny models that have truly learnt the digits, beside NeMo itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
import soxr
import torch

from audiokit import whole
from digitkit import Digit
from runkit import records, write_manifest
from speechkit.engines import registry
from speechkit.engines.asr.nemo import checkpoint
from speechkit.engines.asr.nemo.forward import Forward
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineMissing, OutOfMemory, UsageError
from speechkit.records import Hypothesis

KINDS = ["ctc", "rnnt"]
LOADERS = ["direct", "lhotse", "manifest"]

pytestmark = pytest.mark.slow


def engine(model: Path, **options: Any) -> Any:
    return registry.create("asr", "nemo", model=str(model), **options)


def heard(one: Any, windows: list[Any]) -> list[str]:
    return [
        hypothesis.text for (hypothesis,) in one.transcribe([whole(window)] for window in windows)
    ]


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [record["pred_text"] for record in found]


@pytest.fixture(scope="module")
def own(
    nemos: dict[str, Path], digits: list[Digit], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """What NeMo's own transcribe() makes of the digits as files, one by one."""
    folder = tmp_path_factory.mktemp("digits")
    paths = [str(folder / f"{index}.wav") for index in range(len(digits))]
    for path, digit in zip(paths, digits, strict=True):
        soundfile.write(path, digit.waveform, SAMPLE_RATE, subtype="FLOAT")
    found = {}
    for kind, model in nemos.items():
        restored = checkpoint.restore(model, torch.device("cpu"))
        found[kind] = [one.text for one in restored.transcribe(paths, batch_size=1, verbose=False)]
    return found


@pytest.fixture(scope="module")
def many(held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 lines with keys of their own."""
    lines = records(held_out)
    path: Path = tmp_path_factory.mktemp("many") / "many.jsonl"
    made = [{"id": f"u{index}", **lines[index % len(lines)], "own": index} for index in range(300)]
    return write_manifest(path, made)


@pytest.mark.parametrize("kind", KINDS)
def test_the_digits_are_understood_as_by_nemo_itself(
    kind: str, nemos: dict[str, Path], digits: list[Digit], own: dict[str, list[str]]
) -> None:
    """In batches of 1, 4 and 16, whatever else is in them."""
    assert jiwer.wer([digit.text for digit in digits], own[kind]) < 0.06
    waveforms = [digit.waveform for digit in digits]
    for size, count in ((16, len(digits)), (4, 60), (1, 60)):
        found = heard(engine(nemos[kind], batch_size=size), waveforms[:count])
        assert found == own[kind][:count]


@pytest.mark.parametrize("loader", LOADERS)
def test_many_files_by_each_loader(
    loader: str,
    nemos: dict[str, Path],
    many: Path,
    own: dict[str, list[str]],
    speechkit: Any,
    tmp_path: Path,
) -> None:
    """None hangs (it takes 15 s), none leaves anything behind."""
    count = 200 if loader == "direct" else 60
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    out = tmp_path / "out.jsonl"
    command = ["asr", many, "--engine", "nemo", "--model", nemos["ctc"], "--workers", 1]
    done = speechkit(
        *command,
        *["--dataloader", loader, "--words", "--limit", count, "-o", out],
        env={"TMPDIR": str(temporary)},
        timeout=120,
    )
    assert f"asr: {count} utterances, 0 failed" in done.err
    found = records(out.read_bytes())
    assert [record["own"] for record in found] == list(range(count))
    assert texts(found) == [own["ctc"][index % len(own["ctc"])] for index in range(count)]
    assert not list(temporary.iterdir())
    from nemo.collections.asr.metrics.wer import word_error_rate

    scored = tmp_path / "score.json"
    speechkit("score", out, "--normalizer", "none", "--summary", scored)
    theirs = word_error_rate(texts(found), [record["text"] for record in found])
    assert json.loads(scored.read_text())["wer"] == pytest.approx(theirs, abs=1e-6)


@pytest.fixture(scope="module")
def two_minutes(digits: list[Digit], own: dict[str, list[str]]) -> tuple[Any, str]:
    """Digits with pauses between them, of those that are understood alone."""
    rng = np.random.default_rng(3)
    clear = [digit for digit, text in zip(digits, own["ctc"], strict=True) if text == digit.text]
    parts: list[Any] = []
    said = []
    while sum(map(len, parts)) < 120 * SAMPLE_RATE:
        digit = clear[int(rng.integers(len(clear)))]
        parts += [digit.waveform, np.zeros(round(rng.uniform(0.2, 0.6) * SAMPLE_RATE), np.float32)]
        said.append(digit.text)
    waveform = np.concatenate(parts)
    return waveform + rng.normal(0, 3e-4, len(waveform)).astype(np.float32), " ".join(said)


def test_a_list_with_bad_files(
    nemos: dict[str, Path],
    digits: list[Digit],
    own: dict[str, list[str]],
    two_minutes: tuple[Any, str],
    speechkit: Any,
    tmp_path: Path,
) -> None:
    """Every line is accounted for, and the texts of the good ones are what they were."""
    lines = []
    for index in range(20):
        path = tmp_path / f"bad{index}.wav"
        kind = index % 4
        if kind == 0:
            path.write_text("this is not audio")
        elif kind == 1:
            soundfile.write(path, digits[0].waveform, SAMPLE_RATE)
            path.write_bytes(path.read_bytes()[:600])
        elif kind == 2:
            path.touch()
        lines.append(json.dumps({"audio_filepath": str(path), "duration": 0.5}))
    good = [digit.line for digit in digits[:40]]
    stereo = soxr.resample(digits[0].waveform, SAMPLE_RATE, 44_100)
    soundfile.write(tmp_path / "stereo.wav", np.stack([stereo, stereo], axis=1), 44_100)
    soundfile.write(tmp_path / "long.wav", two_minutes[0], SAMPLE_RATE)
    soundfile.write(tmp_path / "short.wav", digits[0].waveform[:800], SAMPLE_RATE)
    others = [{"audio_filepath": f"{name}.wav"} for name in ("stereo", "long", "short")]
    whole = {"audio_filepath": "long.wav", "offset": 30.0, "duration": 40.0, "mine": [1]}
    mixed = [
        *[line for pair in zip(lines, good, strict=False) for line in pair],
        "",
        *good[20:],
        *map(json.dumps, [*others, whole]),
    ]
    manifest = tmp_path / "mixed.jsonl"
    manifest.write_text("\n".join(mixed) + "\n")
    command = ["asr", manifest, "--engine", "nemo", "--model", nemos["ctc"], "--words"]
    done = speechkit(*command, "--workers", 1, code=3)
    assert "asr: 64 utterances, 20 failed" in done.err
    found = records(done.out)
    assert len(found) == 64
    kinds = [record.get("error", {}).get("type") for record in found[:40:2]]
    assert kinds == 5 * ["AudioUnreadable", "AudioTruncated", "AudioEmpty", "AudioNotFound"]
    assert texts([*found[1:40:2], *found[40:60]]) == own["ctc"][:40]
    stereo_record, long, short, piece = found[60:]
    assert stereo_record["pred_text"] == own["ctc"][0]
    assert short["pred_text"] == ""
    assert jiwer.wer(two_minutes[1], long["pred_text"]) < 0.1
    assert len(long["segments"]) >= 5  # of 15 to 30 s, cut at pauses, and at those that words leave
    assert all(one["end"] - one["start"] <= 30 for one in long["segments"])
    words = [word for segment in long["segments"] for word in segment["words"]]
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[-1] > 118
    assert piece["mine"] == [1]
    inside = [w["word"] for w in words if w["start"] >= 30 and w["end"] <= 70]
    assert jiwer.wer(" ".join(inside), piece["pred_text"]) < 0.1
    assert 30 <= piece["segments"][0]["start"] < piece["segments"][-1]["end"] <= 70


def test_minutes_in_one_window(nemos: dict[str, Path], two_minutes: tuple[Any, str]) -> None:
    """With local attention, as well as in pieces cut at pauses."""
    long = engine(nemos["ctc"], max_window=150.0, local_attention=128)
    ((found,),) = long.transcribe([[whole(two_minutes[0])]])
    assert jiwer.wer(two_minutes[1], found.text) < 0.1
    with pytest.raises(UsageError, match="--local-attention: only for Conformers that attend"):
        checkpoint.attend_locally(long._model, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_times_are_plain_seconds(
    kind: str, nemos: dict[str, Path], two_minutes: tuple[Any, str]
) -> None:
    """Those of NeMo's transcribe(); characters spell the segment."""
    window = two_minutes[0][: 20 * SAMPLE_RATE]
    clips = [[whole(window)]]
    ((found,),) = engine(nemos[kind], words=True, chars=True).transcribe(clips)
    own = engine(nemos[kind], words=True, chars=True, dataloader="manifest")
    assert list(own.transcribe(clips)) == [[found]]
    (segment,) = found.segments
    chars = [char for word in segment.words for char in word.chars]
    stretches = [*segment.words, *chars, segment]
    assert {type(time) for one in stretches for time in (one.start, one.end)} == {float}
    assert all(0 <= one.start <= one.end <= 20 for one in stretches)
    assert " ".join(word.text for word in segment.words) == segment.text
    spelt = "".join(char.text for char in chars).replace("▁", "")
    assert spelt == segment.text.replace(" ", "")
    plain = engine(nemos[kind], timestamps=False)
    ((timeless,),) = plain.transcribe(clips)
    assert timeless.text == found.text
    assert [(one.start, one.end) for one in timeless.segments] == [(0.0, 20.0)]


def test_nothing_said(nemos: dict[str, Path]) -> None:
    rng = np.random.default_rng(5)
    sounds = [np.zeros(n, np.float32) for n in (1, 159, 160, 200, 319, 800, 160_000)]
    sounds.append((0.05 * rng.standard_normal(80_000)).astype(np.float32))
    for kind in KINDS:
        one = engine(nemos[kind], chars=True)
        assert list(one.transcribe([whole(sound)] for sound in sounds)) == [[Hypothesis()]] * len(
            sounds
        )
        # Two frames: with CUDA about, NeMo's normalisation fails a batch for one of a single frame.
        assert min(len(one._prepared(sound)) for sound in sounds) >= 320


def test_what_nemo_does_not_use_is_not_imported(
    nemos: dict[str, Path], digits: list[Digit], own: dict[str, list[str]]
) -> None:
    """Up to the first text: that is half the time of its start."""
    code = """
import json, sys
from speechkit.engines import registry
from speechkit.engines.asr.nemo.checkpoint import UNUSED
from speechkit.engines.protocols import Clip
from speechkit.io import audio
loaded = audio.load(json.loads(sys.argv[2])["audio_filepath"], sample_rate=16_000)
nemo = registry.create("asr", "nemo", model=sys.argv[1], words=True)
((found,),) = nemo.transcribe([[Clip(loaded.waveform, 0.5)]])
print([found.text, *(name for name in UNUSED if name in sys.modules)])
"""
    command = [sys.executable, "-c", code, str(nemos["rnnt"]), digits[0].line]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(own["rnnt"][:1])


def test_a_transducer_cannot_loop(nemos: dict[str, Path], digits: list[Digit]) -> None:
    """A joint network that never says blank still comes to an end."""
    endless = engine(nemos["rnnt"])
    assert endless._model.cfg.decoding.greedy.max_symbols == 10
    with torch.no_grad():
        endless._model.joint.joint_net[-1].bias[-1] = -1e4
    (text,) = heard(endless, [digits[0].waveform])
    frames = len(digits[0].waveform) / SAMPLE_RATE / checkpoint.seconds_a_frame(endless._model)
    assert 0 < len(text.split()) <= 10 * (frames + 2)


def test_a_transducer_decodes_a_few_windows_at_once(
    nemos: dict[str, Path], digits: list[Digit], own: dict[str, list[str]]
) -> None:
    """After the largest batch that there can be, of which a CUDA graph is captured."""
    one = engine(nemos["rnnt"])
    one._recognise._rows = 3
    width = one._model.cfg.encoder.d_model
    one._recognise._capture(torch.zeros(1, width, 1), torch.ones(1, dtype=torch.long))
    assert heard(one, [digit.waveform for digit in digits[:10]]) == own["rnnt"][:10]
    use = one.device_use()
    assert use.batch_size == 10
    assert set(use.parts) == {"features", "encoder", "decoder"}
    assert 0.5 * use.seconds < sum(use.parts.values()) <= use.seconds


@pytest.mark.parametrize(
    ("fits", "rows", "calls"),
    [
        (6, 6, []),
        (2, 1, ["off", "on", "off", "on"]),
        (0, 6, ["off", "on", "off", "on", "off"]),
    ],
)
def test_a_graph_that_does_not_fit(fits: int, rows: int, calls: list[str]) -> None:
    """It is captured for fewer windows, or given up."""
    switched: list[str] = []

    def decode(encoded: torch.Tensor, lengths: torch.Tensor, **_: Any) -> list[Any]:
        assert encoded.shape[1:] == (8, 600)
        assert lengths.tolist() == [1] * len(encoded)
        if len(encoded) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [None] * len(encoded)

    model = SimpleNamespace(
        parameters=lambda: iter([torch.zeros(1)]),
        cfg={},
        preprocessor=None,
        decoding=SimpleNamespace(rnnt_decoder_predictions_tensor=decode),
        disable_cuda_graphs=lambda: switched.append("off"),
        maybe_enable_cuda_graphs=lambda: switched.append("on"),
    )
    recognise = Forward(model, None, 600)
    recognise._rows = 6
    recognise._capture(torch.zeros(1, 8, 20), torch.tensor([20]))
    assert (recognise._rows, switched) == (rows, calls)


def test_the_limit_of_a_transducer_is_set_where_its_checkpoint_undid_it(
    nemos: dict[str, Path], tmp_path: Path
) -> None:
    subprocess.run(["tar", "-xf", nemos["rnnt"], "-C", tmp_path], check=True)
    config = tmp_path / "model_config.yaml"
    said = config.read_text()
    assert "    max_symbols: 10\n" in said
    config.write_text(said.replace("    max_symbols: 10\n", "    max_symbols: null\n"))
    assert engine(tmp_path)._model.cfg.decoding.greedy.max_symbols == 10


def test_a_folder_as_nemo_unpacks_it(
    nemos: dict[str, Path], digits: list[Digit], own: dict[str, list[str]], tmp_path: Path
) -> None:
    subprocess.run(["tar", "-xf", nemos["ctc"], "-C", tmp_path], check=True)
    assert heard(engine(tmp_path), [one.waveform for one in digits[:5]]) == own["ctc"][:5]


@pytest.mark.parametrize("fits", [3, 0])
def test_memory_that_runs_out(
    fits: int, nemos: dict[str, Path], digits: list[Digit], own: dict[str, list[str]]
) -> None:
    crowded = engine(nemos["ctc"], batch_size=8)
    forward = crowded._model.forward

    def full(*args: Any, **more: Any) -> Any:
        if len(more["processed_signal"]) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(*args, **more)

    crowded._model.forward = full
    waveforms = [one.waveform for one in digits[:20]]
    if not fits:
        with pytest.raises(OutOfMemory):
            heard(crowded, waveforms)
        return
    assert heard(crowded, waveforms) == own["ctc"][:20]
    assert crowded.device_use().batch_size == 2


def test_a_version_without_a_field(
    nemos: dict[str, Path], digits: list[Digit], own: dict[str, list[str]]
) -> None:
    """Of the fields of the configuration, none but the batch size is taken for granted."""
    one = engine(nemos["ctc"], dataloader="manifest")
    complete = vars(one._model.get_transcribe_config())
    older = {name: complete[name] for name in complete if name not in ("num_workers", "verbose")}
    one._model.get_transcribe_config = lambda: SimpleNamespace(**older)
    assert heard(one, [digits[0].waveform]) == own["ctc"][:1]


def test_what_cannot_be_meant(nemos: dict[str, Path], examples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this model takes no language"):
        engine(nemos["ctc"], language="en")
    with pytest.raises(UsageError, match="nemo runs on cpu, cuda"):
        engine(nemos["ctc"], device="gpu")
    with pytest.raises(UsageError, match="nemo has bfloat16, float16, float32"):
        engine(nemos["ctc"], compute_type="int8")
    with pytest.raises(EngineMissing, match=r"no \.nemo file in it"):
        engine(examples)
    broken = tmp_path / "broken.nemo"
    broken.write_bytes(nemos["ctc"].read_bytes()[:10_000])
    with pytest.raises(EngineMissing, match="not a whole archive of NeMo's"):
        engine(broken)


def test_bfloat16(nemos: dict[str, Path], digits: list[Digit], own: dict[str, list[str]]) -> None:
    one = engine(nemos["ctc"], compute_type="bfloat16")
    found = heard(one, [digit.waveform for digit in digits[:50]])
    assert sum(x == y for x, y in zip(found, own["ctc"][:50], strict=True)) >= 48


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--dataloader", "tarred"], 2, "--dataloader tarred: there are direct, lhotse, manifest"),
        (
            ["--task", "translate"],
            2,
            "--task: not for the engine nemo; for faster-whisper, whisper",
        ),
        (["--model", "/no/such/model.nemo"], 1, "no such folder or file"),
        (["--model", "no-such-model"], 1, "speechkit models get no-such-model --engine nemo"),
        ([], 1, "speechkit models get parakeet-tdt-0.6b-v3 --engine nemo"),
    ],
)
def test_wrong_options(
    options: list[str], code: int, sentence: str, held_out: Path, speechkit: Any
) -> None:
    done = speechkit("asr", held_out, "--engine", "nemo", *options, code=code)
    (line,) = [line for line in done.err.splitlines() if line.startswith("speechkit: ")]
    assert sentence in line


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of other kinds, of random weights."""
    folder: Path = tmp_path_factory.mktemp("untrained")
    command = [sys.executable, "-m", "nemokit", str(folder)]
    subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("kind", ["hybrid", "tdt", "canary"])
def test_other_kinds_say_what_they_say_to_nemo(
    kind: str, untrained: Path, digits: list[Digit], tmp_path: Path
) -> None:
    model = untrained / f"{kind}.nemo"
    strings = [np.concatenate([one.waveform for one in digits[i::40]]) for i in range(4)]
    assert min(map(len, strings)) > SAMPLE_RATE
    paths = [str(tmp_path / f"{index}.wav") for index in range(len(strings))]
    for path, string in zip(paths, strings, strict=True):
        soundfile.write(path, string, SAMPLE_RATE, subtype="FLOAT")
    restored = checkpoint.restore(model, torch.device("cpu"))
    said = restored.transcribe(paths, batch_size=2, verbose=False)
    wanted = [" ".join(one.text.split()) for one in said]
    assert any(wanted)
    assert heard(engine(model, batch_size=3), strings) == wanted
    clips = [[whole(one)] for one in strings]
    timed, own = (
        list(engine(model, dataloader=way, words=True, chars=True).transcribe(clips))
        for way in ("direct", "lhotse")
    )
    assert timed == own
    for segment in (segment for (found,) in timed for segment in found.segments):
        chars = (char for word in segment.words for char in word.chars)
        for one in (segment, *segment.words, *chars):
            assert 0 <= one.start <= one.end


def test_the_language_of_an_attention_decoder(untrained: Path, digits: list[Digit]) -> None:
    model = untrained / "canary.nemo"
    waveforms = [digits[0].waveform]
    assert heard(engine(model, language="en"), waveforms) == heard(engine(model), waveforms)
    with pytest.raises(UsageError, match="--language klingon: this model can't be told so"):
        engine(model, language="klingon")
    with pytest.raises(UsageError, match="--dataloader manifest: not for a model with"):
        engine(model, dataloader="manifest")


def test_the_language_of_a_transducer(untrained: Path, digits: list[Digit]) -> None:
    model = untrained / "prompted.nemo"
    string = np.concatenate([digit.waveform for digit in digits[::60]])
    restored = checkpoint.restore(model, torch.device("cpu"))
    found = {}
    for language in ("auto", "de"):
        (said,) = restored.transcribe([string], target_lang=language, verbose=False)
        found[language] = heard(engine(model, language=language), [string])
        assert found[language] == [" ".join(said.text.split())]
    assert found["auto"] != found["de"]
    with pytest.raises(UsageError, match="--language fr: this model has auto, de, en"):
        engine(model, language="fr")
