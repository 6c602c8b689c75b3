"""The s2s engines on tiny models in the layouts of 2021, beside fairseq and textlesslib."""

from __future__ import annotations

import importlib.util
import io
import json
import threading
import time
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf

from speechkit.compat import fairseq_checkpoint, patched_imports
from speechkit.engines import registry
from speechkit.engines.encoders import fairseq_weights
from speechkit.engines.encoders.features import Extractor, Stretch, frames_of, windows
from speechkit.engines.s2s import kmeans, unit_network
from speechkit.engines.s2s.quantizer import runs
from speechkit.errors import EngineMissing, OutOfMemory, UnitsInvalid, UsageError, UtteranceError
from speechkit.io import audio
from speechkit.io.inputs import Inputs
from speechkit.records import Units
from speechkit.runtime.worker_plan import Hardware
from speechkit.stages.s2s.stage import S2sOptions, Speech, s2s_stage

LAYOUTS = ["dict", "dictconfig", "args", "bare", "norm"]
CLOSE = 1e-5  # of features whose numbers are about 1

Waves = list[NDArray[np.float32]]


def engine(name: str = "transformers", **options: Any) -> Any:
    return registry.create("s2s", name, **{"device": "cpu", **options})


def encoder(folder: Path, model: str = "hubert-dict.pt", **options: Any) -> Any:
    parts = {"layer": 2, "quantizer": str(folder / "km.npz"), **options}
    return engine(model=str(folder / model), **parts)


def vocoder(folder: Path, kind: str = "vocoder", name: str = "transformers", **more: Any) -> Any:
    return engine(name, vocoder=str(folder / kind / "g.pt"), **more)


def speak(made: Any, units: Units, *, predict: bool = False) -> Any:
    (spoken,) = made.synthesise([units], predict=predict)
    if isinstance(spoken, UtteranceError):
        raise spoken
    return spoken


def apart(one: Sequence[Any], other: Sequence[Any]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def speech(examples: Path) -> Waves:
    """Real speech of many lengths, from a single frame up."""
    whole = [
        audio.load(str(path), sample_rate=16_000).waveform
        for path in sorted(examples.rglob("*.flac"))
    ]
    lengths = (400, 719, 720, 5_000, 16_000, 16_001, 30_000)
    return [*(one[8_000 : 8_000 + n] for one, n in zip(whole, lengths, strict=False)), *whole[:4]]


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("layout", ["dict", "norm"])
def test_features_are_those_of_fairseq(
    layout: str, layer: int, s2s_models: Path, speech: Waves
) -> None:
    """Alone and in batches, and so are the units."""
    options = {
        "model": str(s2s_models / f"hubert-{layout}.pt"),
        "layer": layer,
        "quantizer": str(s2s_models / "km.npz"),
    }
    theirs = engine("fairseq", **options)
    expected, units = theirs.features(speech), theirs.encode(speech)
    for size in (1, 4, 16):
        ours = engine(**options, batch_size=size)
        assert apart(ours.features(speech), expected) < CLOSE
        assert ours.encode(speech) == units
    assert len({unit for one in units for unit in one.units}) > 10


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(layout: str, s2s_models: Path, speech: Waves) -> None:
    for name in ("transformers", "fairseq"):
        one = engine(name, model=str(s2s_models / f"hubert-{layout}.pt"), layer=3)
        same = "norm" if layout == "norm" else "dict"
        other = engine(model=str(s2s_models / f"hubert-{same}.pt"), layer=3)
        assert apart(one.features(speech[:4]), other.features(speech[:4])) < CLOSE


@pytest.mark.parametrize("folder", ["hubert-folder", "wavlm-folder"])
def test_folders_of_transformers(folder: str, s2s_models: Path, speech: Waves) -> None:
    """Equal to the model itself with all of its layers, and batches to single waveforms."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(s2s_models / folder).eval()
    for layer in (1, 3):
        ours = encoder(s2s_models, folder, layer=layer, quantizer=None, batch_size=8)
        with torch.inference_mode():
            states = [
                model(torch.from_numpy(one)[None], output_hidden_states=True).hidden_states[layer]
                for one in speech
            ]
        assert apart(ours.features(speech), [one[0].numpy() for one in states]) < CLOSE


def random_checkpoint(path: Path, **geometry: Any) -> None:
    """fairseq's own model of some geometry with random numbers, saved as in 2021."""
    hubert = patched_imports.fairseq().models.hubert.hubert
    tasks = patched_imports.fairseq().tasks.hubert_pretraining
    normalize = geometry.get("extractor_mode") == "layer_norm"
    config = OmegaConf.merge(
        OmegaConf.structured(hubert.HubertConfig), {**geometry, "label_rate": 50.0}
    )
    torch.manual_seed(3)
    task = OmegaConf.structured(tasks.HubertPretrainingConfig)
    model = hubert.HubertModel(
        config, task, [patched_imports.fairseq().data.dictionary.Dictionary()]
    )
    cfg = {
        "task": {"_name": "hubert_pretraining", "normalize": normalize, "sample_rate": 16000.0},
        "model": {"_name": "hubert", **geometry, "label_rate": 50.0},
    }
    torch.save({"model": model.state_dict(), "args": None, "cfg": cfg}, path)


GEOMETRIES = {
    "base": {"encoder_layers": 12},
    "large": {
        "encoder_layers": 8,  # of 24, which are alike
        "encoder_embed_dim": 1024,
        "encoder_ffn_embed_dim": 4096,
        "encoder_attention_heads": 16,
        "final_dim": 768,
        "extractor_mode": "layer_norm",
        "layer_norm_first": True,
    },
}


def with_layers(encoder: Any, stretch: Stretch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The features of a stretch, and what each layer gave on the way."""
    found: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: found.append(out[0]))
        for layer in encoder._model.encoder.layers
    ]
    features = encoder.features([stretch])
    for hook in hooks:
        hook.remove()
    return features, found


@pytest.mark.slow
@pytest.mark.usefixtures("fairseq")
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_layer_of_the_true_geometries(geometry: str, tmp_path: Path, speech: Waves) -> None:
    """Most are 0.0 apart. Where torch has other kernels, on some CPUs and for few frames, they were
    seen to differ by 1.2e-5, in layers whose numbers come to 12."""
    path = tmp_path / "hubert.pt"
    random_checkpoint(path, **GEOMETRIES[geometry])
    layers: Any = GEOMETRIES[geometry]["encoder_layers"]
    theirs = engine("fairseq", model=str(path), layer=layers)._extractor.encoder
    ours = engine(model=str(path), layer=layers)._extractor.encoder
    for samples in (16_001, 16_400):
        stretch = Stretch(*ours.whole(torch.from_numpy(speech[-1][8000 : 8000 + samples].copy())))
        (last,), found = with_layers(ours, stretch)
        assert torch.equal(last, found[-1])
        (their_last,), their_layers = with_layers(theirs, stretch)
        expected_of = [
            layer[: len(last), 0] for layer in their_layers
        ]  # [time, batch, width], padded
        assert torch.equal(their_last, expected_of[-1])
        centroids = torch.randn(100, last.shape[1], generator=torch.Generator().manual_seed(4))
        assert len(found) == layers
        for number, (features, expected) in enumerate(zip(found, expected_of, strict=True), 1):
            assert (features - expected).abs().max() < 3 * CLOSE, f"layer {number}"
            units = [torch.cdist(one, centroids).argmin(dim=1) for one in (features, expected)]
            assert torch.equal(*units)
    path.unlink()


def test_what_lies_above_the_layer_is_not_computed(s2s_models: Path) -> None:
    made = encoder(s2s_models, layer=1)
    assert len(made._extractor.encoder._model.encoder.layers) == 1


@pytest.mark.parametrize("name", ["transformers", "fairseq"])
@pytest.mark.parametrize("layer", [4, 99])
def test_a_layer_that_is_not_there_is_refused(name: str, layer: int, s2s_models: Path) -> None:
    """fairseq itself gives the last one."""
    with pytest.raises(
        UsageError, match=rf"--layer {layer}: hubert-dict\.pt has the layers 1 to 3"
    ):
        engine(name, model=str(s2s_models / "hubert-dict.pt"), layer=layer)


# ---------------------------------------------------------------- windows


def test_frames_are_counted_as_the_convolutions_make_them() -> None:
    frames = frames_of([(10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2])
    assert (frames.hop, frames.field) == (320, 400)
    assert [frames.count(n) for n in (399, 400, 719, 720, 16_000)] == [0, 1, 1, 2, 49]


@pytest.mark.parametrize("samples", [1_600_001, 1_700_000, 9_600_000, 9_600_123])
def test_windows_hold_each_frame_once(samples: int) -> None:
    frames = frames_of([(10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2])
    made = windows(frames, samples, 100.0)
    held = 0
    for window in made:
        first = window.samples.start // frames.hop
        assert window.samples.start % frames.hop == 0
        assert window.samples.stop - window.samples.start <= 1_600_000
        assert first + window.keep.start == held
        assert window.keep.stop <= frames.count(window.samples.stop - window.samples.start)
        held = first + window.keep.stop
        # Context on either side, but for the ends of the audio.
        assert window.keep.start == (0 if window is made[0] else 250)
    assert held == frames.count(samples)


@pytest.mark.parametrize("layout", ["dict", "norm"])
def test_long_audio_has_no_seam(layout: str, s2s_models: Path, examples: Path) -> None:
    """100 s in windows of 20 s beside the whole at once. Attention reaches beyond any window, so
    some units differ (fewer with trained models, whose attention is more local), but at the seams
    not more of them than elsewhere."""
    once = np.concatenate(
        [
            audio.load(str(path), sample_rate=16_000).waveform
            for path in sorted(examples.rglob("*.flac"))
        ]
    )
    long = np.tile(once, 2)[: 100 * 16_000]
    whole, cut = (
        encoder(s2s_models, f"hubert-{layout}.pt", max_window=seconds) for seconds in (100.0, 20.0)
    )
    units = [np.repeat(*astuple(one.encode([long])[0])) for one in (whole, cut)]
    assert len(units[0]) == len(units[1]) == 4_999
    differ = units[0] != units[1]
    frames = cut._extractor.frames
    made = windows(frames, len(long), 20.0)
    seams = [window.samples.start // frames.hop + window.keep.start for window in made][1:]
    assert len(seams) >= 9
    near = np.concatenate([differ[seam - 25 : seam + 25] for seam in seams])
    print(f"{differ.mean():.4f} of the units differ, {near.mean():.4f} of those near a seam")
    assert differ.mean() < 0.05
    assert near.mean() < 0.05


def test_memory_that_does_not_suffice_is_halved(s2s_models: Path, speech: Waves) -> None:
    made = encoder(s2s_models, batch_size=8)
    expected = made.encode(speech)
    extract = made._extractor.encoder.features

    def crowded(waveforms: Sequence[Any]) -> Any:
        if len(waveforms) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return extract(waveforms)

    made._extractor.encoder.features = crowded
    assert made.encode(speech) == expected
    assert made.device_use().batch_size == 2

    def full(_: Sequence[Any]) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    made._extractor.encoder.features = full
    with pytest.raises(OutOfMemory, match="even alone"):
        made.encode(speech[:1])


# ---------------------------------------------------------------- weights that don't fit


def changed(source: Path, target: Path, **weights: torch.Tensor | None) -> Path:
    """A checkpoint with other weights, None for none; ``__`` stands for a dot."""
    state = fairseq_checkpoint.load_inert(source)
    for name, value in weights.items():
        state["model"].pop(name.replace("__", "."), None)
        if value is not None:
            state["model"][name.replace("__", ".")] = value
    torch.save(state, target)
    return target


def test_old_weight_norm_converts_exactly(s2s_models: Path) -> None:
    found = fairseq_checkpoint.read(s2s_models / "hubert-dict.pt")
    model, made_anew = fairseq_weights.load(found, 3, allow_reinit=False)
    assert made_anew == []
    ours = model.encoder.pos_conv_embed.conv
    theirs = engine("fairseq", model=str(found.path), layer=1)._extractor.encoder._model
    g, v = (found.weights[f"encoder.pos_conv.0.weight_{part}"] for part in "gv")
    assert g.shape == (1, 1, 128)
    assert torch.equal(ours.parametrizations.weight.original0, g)
    assert torch.equal(ours.parametrizations.weight.original1, v)
    with torch.no_grad():
        theirs.encoder.pos_conv(torch.zeros(1, 64, 200))
    assert torch.equal(ours.weight, theirs.encoder.pos_conv[0].weight)


@pytest.mark.parametrize(
    "weights",
    [
        {"encoder__pos_conv__0__weight_g": torch.ones(64, 1, 1)},
        {"encoder__pos_conv__0__weight_g": None},
        {"encoder__layers__0__fc1__weight": torch.ones(3, 3)},
    ],
)
def test_weights_that_disagree_are_refused(
    weights: dict[str, Any], s2s_models: Path, tmp_path: Path, speech: Waves
) -> None:
    path = changed(s2s_models / "hubert-bare.pt", tmp_path / "other.pt", **weights)
    with pytest.raises(EngineMissing, match=r"other\.pt: encoder\..* asks for .*--allow-reinit"):
        engine(model=str(path), layer=2)
    with pytest.raises(EngineMissing, match="fairseq can't load it: "):
        engine("fairseq", model=str(path), layer=2)
    insisted = engine(model=str(path), layer=2, allow_reinit=True)
    (name,) = insisted.device_use().reinitialised
    assert name.startswith("encoder.")
    assert np.isfinite(insisted.features(speech[:1])[0]).all()


def test_a_weight_too_many_is_refused(s2s_models: Path, tmp_path: Path) -> None:
    path = changed(s2s_models / "hubert-bare.pt", tmp_path / "x.pt", adapter__a=torch.ones(2))
    with pytest.raises(EngineMissing, match=r"1 weights that HuBERT has not, such as adapter\.a"):
        engine(model=str(path), layer=2)


# ---------------------------------------------------------------- units


def test_units_are_those_of_scikit_learn(s2s_models: Path, speech: Waves) -> None:
    """Of the file that the centroids were taken from."""
    made = encoder(s2s_models)
    theirs = joblib.load(s2s_models / "km.bin")
    for features, units in zip(made.features(speech), made.encode(speech), strict=True):
        expected = theirs.predict(features)
        assert np.repeat(units.units, units.durations).tolist() == expected.tolist()
        assert all(a != b for a, b in pairwise(units.units))


@pytest.mark.parametrize("units", [[1], [1, 1, 2], [3, 1, 1, 1], [0, 0]])
def test_runs_are_undone_by_repeating(units: list[int]) -> None:
    numbers, durations = runs(np.array(units))
    assert np.repeat(numbers, durations).tolist() == units


@pytest.mark.parametrize("kind", ["pickled", "text", "wide", "nan", "other"])
def test_a_quantizer_that_is_none(kind: str, s2s_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "km.npz"
    if kind == "pickled":
        np.savez(path, centroids=np.array([{"a": 1}], dtype=object))
    elif kind == "text":
        path.write_text("no centroids")
    elif kind == "wide":
        np.savez(path, centroids=np.ones((3, 65), np.float32))
    elif kind == "nan":
        np.savez(path, centroids=np.full((3, 64), np.nan))
    else:
        path = s2s_models / "km.bin"
    reason = {"wide": "of 65 numbers", "other": rf"convert-quantizer {path} \S*km\.npz"}.get(
        kind, r"convert-quantizer KMEANS NEW\.npz"
    )
    with pytest.raises(EngineMissing, match=reason):
        encoder(s2s_models, quantizer=str(path))


def npz(path: Path, rows: int, content: bytes) -> Path:
    """Centroids of 64 numbers, as many rows as it says."""
    shape = {"descr": "<f4", "fortran_order": False, "shape": (rows, 64)}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("centroids.npy", header.getvalue() + content)
    return path


def test_a_quantizer_that_grows(
    s2s_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few KiB that are a few MiB, with a limit to match; and a table said to be larger than any
    memory."""
    path = npz(tmp_path / "km.npz", 1 << 14, bytes(1 << 22))
    encoder(s2s_models, quantizer=str(path))
    monkeypatch.setattr(kmeans, "MOST_BYTES", 1 << 21)
    with pytest.raises(EngineMissing, match=r"km\.npz: not an \.npz with centroids"):
        encoder(s2s_models, quantizer=str(path))
    with pytest.raises(EngineMissing, match=r"km\.npz: not an \.npz with centroids"):
        encoder(s2s_models, quantizer=str(npz(path, 1 << 40, b"")))


# ---------------------------------------------------------------- speech


def some_units(count: int, durations: int = 2) -> Units:
    random = np.random.default_rng(5)
    numbers = random.integers(0, 50, count)
    numbers[1:][numbers[1:] == numbers[:-1]] = 0
    numbers, frames = runs(numbers)
    return Units(tuple(numbers.tolist()), tuple((frames * durations).tolist()))


@pytest.mark.parametrize(
    ("kind", "options", "predict"),
    [
        ("vocoder", {}, False),
        ("vocoder-multi", {"speaker": 2}, False),
        ("vocoder-multi", {"speaker": 1}, True),
    ],
)
def test_speech_is_that_of_fairseq(
    kind: str, options: dict[str, int], predict: bool, s2s_models: Path
) -> None:
    """Bit for bit, beside its own vocoder called as fairseq calls it."""
    units = some_units(100)
    ours = vocoder(s2s_models, kind, **options)
    found = speak(ours, units, predict=predict)
    assert np.array_equal(
        speak(vocoder(s2s_models, kind, "fairseq", **options), units, predict=predict), found
    )
    vocoders = patched_imports.fairseq().models.text_to_speech.vocoder
    folder = s2s_models / kind
    config = json.loads((folder / "config.json").read_text())
    theirs = vocoders.CodeHiFiGANVocoder(str(folder / "g.pt"), config)
    numbers = units.units if predict else np.repeat(units.units, units.durations)
    given: dict[str, Any] = {"code": torch.tensor(np.array(numbers))[None]}
    if options:
        given["spkr"] = torch.tensor([[options["speaker"]]])
    expected = theirs(given, dur_prediction=predict).numpy()
    assert np.array_equal(found, expected)
    assert np.abs(found).max() > 0.05
    if not predict:
        assert len(found) == 320 * sum(units.durations)


def test_a_style_is_heard(s2s_models: Path) -> None:
    units = some_units(20)
    made = [
        speak(vocoder(s2s_models, "vocoder-style", speaker=0, style=style), units)
        for style in (0, 1)
    ]
    assert made[0].shape == made[1].shape
    assert not np.allclose(*made)


@pytest.mark.parametrize("kind", ["vocoder", "vocoder-multi"])
def test_pieces_have_no_seam(kind: str, s2s_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is made with all the frames that its samples depend on: what comes out is the whole."""
    options = {"speaker": 0} if kind == "vocoder-multi" else {}
    made = vocoder(s2s_models, kind, **options)
    units = some_units(300, durations=3)
    monkeypatch.setattr(unit_network, "PIECE", 10**6)
    whole = speak(made, units)
    for size in (500, 64):
        monkeypatch.setattr(unit_network, "PIECE", size)
        assert apart([speak(made, units)], [whole]) < 1e-6
    # With less context than that there are seams, so that this can fail.
    made._vocoder._speaking.context = 0
    assert apart([speak(made, units)], [whole]) > 1e-3


@pytest.mark.parametrize("name", ["transformers", "fairseq"])
@pytest.mark.parametrize(
    ("kind", "options", "predict"),
    [("vocoder", {}, False), ("vocoder-multi", {"speaker": 2}, True)],
)
def test_speech_is_the_same_alone_and_in_company(
    kind: str,
    options: dict[str, int],
    predict: bool,
    name: str,
    s2s_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of utterances of any length, some in pieces, some that fail; and in the order given."""
    monkeypatch.setattr(unit_network, "PIECE", 60)
    good = [some_units(count, durations) for count, durations in ((3, 1), (90, 2), (1, 1), (24, 3))]
    given = [*good[:2], Units((50,), (1,)), Units((1,), (1_000_000,)), *good[2:]]
    made = vocoder(s2s_models, kind, name, batch_size=4, **options)
    together = list(made.synthesise(given, predict=predict))
    wrong = [str(spoken) for spoken in together if isinstance(spoken, UnitsInvalid)]
    assert wrong[0] == "unit 50: the vocoder has the units 0 to 49"
    assert wrong[1:] == ([] if predict else ["1000000 frames: 720000 at most are spoken at once"])
    made._vocoder.batches.most = 1
    for spoken, units in zip(together, given, strict=True):
        if not isinstance(spoken, UnitsInvalid):
            assert apart([spoken], [speak(made, units, predict=predict)]) < 1e-6
    # Where the rows' ends are not told apart there is noise at them, so that this can fail.
    made._vocoder.batches.most = 4
    monkeypatch.setattr(unit_network.RowEnds, "set", lambda *_: None)
    noisy = list(made.synthesise(good, predict=False))
    assert apart([noisy[0]], [speak(made, good[0])]) > 1e-3


def test_speech_that_is_not_taken_ends_with_the_next_call(s2s_models: Path) -> None:
    """Its thread would compute with the same network."""
    made = vocoder(s2s_models, batch_size=1)
    units = [some_units(count) for count in range(2, 12)]
    abandoned = made.synthesise(units, predict=False)
    expected = [next(abandoned)]
    before = threading.active_count()
    again = made.synthesise(units[:1], predict=False)
    assert threading.active_count() == before - 1
    assert apart(list(again), expected) == 0
    assert not list(abandoned)


def test_memory_that_does_not_suffice_for_speech_is_halved(s2s_models: Path) -> None:
    made = vocoder(s2s_models, batch_size=8)
    units = [some_units(count) for count in range(2, 12)]
    expected = list(made.synthesise(units, predict=False))
    compute = made._vocoder._speaking.compute

    def crowded(code: torch.Tensor) -> Any:
        if len(code) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(code)

    made._vocoder._speaking.compute = crowded
    assert apart(list(made.synthesise(units, predict=False)), expected) < 1e-6
    assert made.device_use().batch_size == 2


def test_speech_that_comes_out_short_is_an_error(s2s_models: Path) -> None:
    made = vocoder(s2s_models)
    whole = made._vocoder._generator
    made._vocoder._generator = lambda **given: whole(**given)[..., :-1]
    with pytest.raises(RuntimeError, match="has made 63999 values of 200 units, 320 for each"):
        speak(made, some_units(100))


def test_a_vocoder_saved_in_half_precision(s2s_models: Path, tmp_path: Path) -> None:
    """Is computed in float32, as by fairseq."""
    state = fairseq_checkpoint.load_inert(s2s_models / "vocoder" / "g.pt")
    state["generator"] = {name: value.half() for name, value in state["generator"].items()}
    torch.save(state, tmp_path / "g.pt")
    config = str(s2s_models / "vocoder" / "config.json")
    made = [
        engine(name, vocoder=str(tmp_path / "g.pt"), vocoder_config=config)
        for name in ("transformers", "fairseq")
    ]
    units = some_units(20)
    assert np.array_equal(*(speak(one, units) for one in made))


@pytest.mark.parametrize("bias", [50.0, 200.0, float("nan")])
def test_a_prediction_out_of_all_bounds(bias: float, s2s_models: Path) -> None:
    made = vocoder(s2s_models, "vocoder-multi", speaker=0)
    with torch.no_grad():
        made._vocoder._generator.dur_predictor.proj.bias.fill_(bias)
    with pytest.raises(UnitsInvalid, match="is predicted to last"):
        speak(made, some_units(5), predict=True)


def test_more_than_anybody_says(s2s_models: Path) -> None:
    with pytest.raises(UnitsInvalid, match="720000 at most are spoken at once"):
        speak(vocoder(s2s_models), Units((1,), (1_000_000,)))


def test_units_that_the_vocoder_has_not(s2s_models: Path) -> None:
    with pytest.raises(UnitsInvalid, match="unit 50: the vocoder has the units 0 to 49"):
        speak(vocoder(s2s_models), Units((3, 50), (1, 1)))


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("vocoder", {"speaker": 1}, "--speaker 1: this vocoder has but one"),
        ("vocoder-multi", {}, "--speaker is needed: this vocoder has the speakers 0 to 2"),
        ("vocoder-multi", {"speaker": 3}, "--speaker 3: this vocoder has the speakers 0 to 2"),
        ("vocoder-style", {"speaker": 0}, "--style is needed"),
    ],
)
def test_speakers_and_styles_that_are_not_there(
    kind: str, options: dict[str, int], reason: str, s2s_models: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        vocoder(s2s_models, kind, **options)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"upsample_rates": None}, "says nothing of upsample_rates"),
        ({"f0": True}, "needs a pitch contour"),
        ({"embedder_params": {"a": 1}}, "needs a speaker's embedding"),
        ({"upsample_kernel_sizes": [10, 8, 8, 4, 4]}, "as even or odd"),
        ({"embedding_dim": 31}, "does not fit its --vocoder-config"),
        ({"upsample_rates": [5, 4, 4, 2]}, "upsample_kernel_sizes are of unequal length"),
        ({"resblock_kernel_sizes": [3, 7]}, "resblock_dilation_sizes are of unequal length"),
        ({"upsample_rates": 5}, "fit no generator: object of type 'int'"),
        ({"upsample_rates": "abc"}, "fit no generator: 'abc', not a whole number"),
        ({"num_embeddings": 10**12}, "not a whole number from 1 to 65536"),
        ({"num_embeddings": 60_000}, "does not fit its --vocoder-config"),
        ({"upsample_rates": [1] * 100_000}, "a list of 100000, 16 at most are known"),
        ({"resblock_dilation_sizes": [[1] * 100_000] * 3}, "a list of 100000, 16 at most"),
        ({"upsample_rates": [[[[1]]]]}, "not a whole number"),
        ({"upsample_initial_channel": True}, "True, not a whole number"),
        ({"x": "x" * (1 << 20)}, "not a configuration in JSON"),
    ],
)
def test_a_configuration_that_is_none(
    change: dict[str, Any], reason: str, s2s_models: Path, tmp_path: Path
) -> None:
    config = json.loads((s2s_models / "vocoder" / "config.json").read_text())
    config = {key: value for key, value in {**config, **change}.items() if value is not None}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    for name in ("transformers", "fairseq"):
        began = time.monotonic()
        with pytest.raises(EngineMissing, match=reason):
            vocoder(s2s_models, name=name, vocoder_config=str(path))
        assert time.monotonic() - began < 20


def test_a_configuration_without_end(s2s_models: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 500_000)
    with pytest.raises(EngineMissing, match="not a configuration in JSON"):
        vocoder(s2s_models, vocoder_config=str(tmp_path / "config.json"))


def test_quantizer_and_vocoder_have_to_belong_together(s2s_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "km.npz"
    np.savez(path, centroids=np.ones((51, 64), np.float32))
    with pytest.raises(UsageError, match="makes 51 units, --vocoder knows 50"):
        encoder(s2s_models, quantizer=str(path), vocoder=str(s2s_models / "vocoder" / "g.pt"))


# ---------------------------------------------------------------- the stage


def test_an_utterance_that_fails_costs_the_others_nothing(
    s2s_models: Path, examples: Path, tmp_path: Path
) -> None:
    """What the batch computed for them is used, and each file is written."""
    quantizer = str(s2s_models / "km.npz")
    speech = Speech(
        vocoder=str(s2s_models / "vocoder" / "g.pt"),
        vocoder_config=str(s2s_models / "vocoder" / "config.json"),
        folder=str(tmp_path / "out"),
    )
    options = S2sOptions(
        model=str(s2s_models / "hubert-dict.pt"), layer=2, quantizer=quantizer, speech=speech
    )
    source, rate = soundfile.read(examples / "awb" / "train.flac")
    (tmp_path / "in").mkdir()
    for name, samples in (("a", 9_000), ("b", 100), ("c", 12_000), ("d", 9_000)):
        soundfile.write(tmp_path / f"in/{name}.wav", source[8_000 : 8_000 + samples], rate)
    inputs = Inputs([str(tmp_path / "in")])
    processor: Any = s2s_stage(options, Hardware(device="cpu")).processor
    processor.survey(inputs, restart=False)
    (tmp_path / "out/d.wav").mkdir()
    processor.open()
    encode, calls = processor._engine.encode, []
    processor._engine.encode = lambda waveforms: calls.append(len(waveforms)) or encode(waveforms)
    answers = list(processor.compute([processor.load(utterance) for utterance in inputs]))
    assert [type(answer).__name__ for answer in answers] == [
        *("list", "AudioTooShort", "list", "NameImpossible")
    ]
    assert calls == [3]
    for answer in answers[::2]:
        assert soundfile.info(answer[0]["audio_filepath_out"]).frames > 5_000
    use = processor.device_use()
    assert set(use.parts) == {"encoder", "quantizer", "vocoder"}
    assert min(use.parts.values()) > 0
    assert use.seconds == pytest.approx(sum(use.parts.values()))


# ---------------------------------------------------------------- textlesslib


@pytest.mark.textless
@pytest.mark.skipif(importlib.util.find_spec("textless") is None, reason="no textlesslib")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_textlesslib_by_itself_says_the_same(layout: str, s2s_models: Path, speech: Waves) -> None:
    """Its SpeechEncoder and vocoder called directly, beside all three engines."""
    warnings.simplefilter("ignore")
    textless = patched_imports.textless()
    from textless.data.speech_encoder import SpeechEncoder  # noqa: TID251

    path, folder = s2s_models / f"hubert-{layout}.pt", s2s_models / "vocoder-multi"
    direct = SpeechEncoder(
        textless.HubertFeatureReader(str(path), layer=2),
        textless.KMeansQuantizer(str(s2s_models / "km.bin")),
        deduplicate=True,
        need_f0=False,
    )
    speak = textless.CodeHiFiGANVocoder(str(folder / "g.pt"), str(folder / "config.json"))
    for name in ("textless", "fairseq", "transformers"):
        ours = engine(
            name,
            model=str(path),
            layer=2,
            quantizer=str(s2s_models / "km.npz"),
            vocoder=str(folder / "g.pt"),
            speaker=1,
        )
        for waveform, units in zip(speech, ours.encode(speech), strict=True):
            theirs = direct(torch.from_numpy(waveform.copy()))
            assert theirs["units"].tolist() == list(units.units)
            assert theirs["durations"].tolist() == list(units.durations)
            code = theirs["units"].long().view(1, -1)
            expected = speak(code, speaker_id=1, dur_prediction=True).numpy()
            assert np.array_equal(speak(ours, units, predict=True), expected)


def test_extractors_batches_are_for_encoders_that_can(s2s_models: Path) -> None:
    one = engine("fairseq", model=str(s2s_models / "hubert-dict.pt"), layer=1, batch_size=8)
    assert isinstance(one._extractor, Extractor)
    assert one.device_use().batch_size == 1
