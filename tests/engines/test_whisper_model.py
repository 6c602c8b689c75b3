"""The engine's own Whisper beside transformers': features, encoder, decoder, and what is read."""

from __future__ import annotations

import gc
import json
import math
import re
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch.nn.functional import pad
from transformers import WhisperFeatureExtractor
from transformers.modeling_outputs import BaseModelOutput

from speechkit.engines import registry
from speechkit.engines.asr.whisper import checkpoint, engine
from speechkit.engines.asr.whisper.beam_search import BeamSearch
from speechkit.engines.asr.whisper.decoder_layers import DecoderLayers
from speechkit.engines.asr.whisper.encoder import Encoder
from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.asr.whisper.vocabulary import Vocabulary
from speechkit.engines.encoders.log_mel import LogMel
from speechkit.engines.mel_filters import HOP
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineMissing
from speechkit.io import audio
from whisperkit import theirs

CPU = torch.device("cpu")
SPOKEN = ("1688-142285-0000", "2033-164914-0003")
FRAMES = 3000
LAYER = "model.decoder.layers.0.encoder_attn.k_proj.weight"


def loaded(folder: Path) -> checkpoint.Checkpoint:
    return checkpoint.load(folder, CPU, torch.float32)


@pytest.mark.slow
@torch.inference_mode()
def test_all_parts_are_those_of_transformers(english_whispers: dict[str, Path], data: Path) -> None:
    """Features, the encoder at its full and at a shorter length, and what aligns the words."""
    folder = english_whispers["whisper"]
    found, (model, _) = loaded(folder), theirs(folder)
    files = [data / "librispeech" / f"{name}.flac" for name in SPOKEN]
    speech = [audio.load(str(file), sample_rate=SAMPLE_RATE).waveform for file in files]
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    features = extractor(speech, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
    log_mel = LogMel(80, CPU)
    whole = [pad(torch.from_numpy(one), (0, FRAMES * HOP - len(one))) for one in speech]
    torch.testing.assert_close(log_mel(torch.stack(whole), FRAMES), features, atol=1e-4, rtol=0)
    for one, expected in zip(speech, features, strict=True):
        alone = log_mel(torch.from_numpy(one)[None], FRAMES)
        torch.testing.assert_close(alone[0], expected, atol=1e-4, rtol=0)

    hidden = Encoder(found)(features)
    expected = model.model.encoder(features).last_hidden_state
    torch.testing.assert_close(hidden, expected, atol=1e-4, rtol=0)

    layers, heads = DecoderLayers(found), found.generation.alignment_heads
    tokens = torch.randint(50_000, (2, 12), generator=torch.Generator().manual_seed(1))
    weights, likely = layers.aligned(tokens, hidden, heads)
    model.set_attn_implementation("eager")  # which alone returns its weights
    output = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
        decoder_input_ids=tokens,
        output_attentions=True,
    )
    attended = torch.stack([output.cross_attentions[layer][:, head] for layer, head in heads], 1)
    torch.testing.assert_close(weights, attended, atol=1e-5, rtol=0)
    chosen = output.logits[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
    torch.testing.assert_close(likely, chosen, atol=1e-3, rtol=0)

    short = found.shortened(500)
    vocabulary = Vocabulary(found.tokenizer, multilingual=False)
    beams = BeamSearch(short, vocabulary)._model
    part = features[..., :1000]
    expected = beams.model.encoder(part).last_hidden_state
    torch.testing.assert_close(Encoder(short)(part), expected, atol=1e-4, rtol=0)
    shared = beams.model.decoder.layers[0].encoder_attn.k_proj.weight.untyped_storage()
    assert shared.data_ptr() == found.weights[LAYER].untyped_storage().data_ptr()


@torch.inference_mode()
def test_waveforms_are_encoded_as_their_features(
    untrained: dict[str, Path], examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA, where features are computed on the device."""
    backend: Any = registry.create("asr", "whisper", model=str(untrained["whisper"]))._backend
    samples = round(backend.chunk * SAMPLE_RATE)
    sound = sorted(examples.rglob("*.flac"))[0]
    waveform = audio.load(str(sound), sample_rate=SAMPLE_RATE).waveform[: samples // 2]
    padded = pad(torch.from_numpy(waveform), (0, samples - len(waveform)))[None]
    ahead, later = backend.encode(backend.features([waveform]), 1), backend.encode(padded, 1)
    torch.testing.assert_close(ahead, later)
    assert backend.parts.keys() == {"features", "encoder"}
    another: Any = registry.create("asr", "whisper", model=str(untrained["whisper"]), language="en")
    assert another._backend is backend
    assert not backend.parts  # those of another engine aren't counted
    backend.encode(padded, 1)
    backend._first_window()
    assert not backend.parts

    def full(*shape: Any, pin_memory: bool = False, **others: Any) -> torch.Tensor:
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return zeros(*shape, **others)

    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", full)
    monkeypatch.setattr(backend, "_on_card", True)
    assert torch.equal(backend.features([waveform]), padded)


@torch.inference_mode()
def test_windows_with_many_alignment_heads_are_aligned_one_by_one(
    untrained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: Any = registry.create("asr", "whisper", model=str(untrained["whisper"]))._backend
    hidden = torch.randn(3, 100, 32, generator=torch.Generator().manual_seed(1))
    given = hidden, backend.vocabulary.start("en", "transcribe"), [[40, 50]] * 3, [1.8] * 3
    together = backend.align(*given)
    aligned, rows = backend._layers.aligned, []
    monkeypatch.setattr(
        backend._layers, "aligned", lambda *them: (rows.append(len(them[0])), aligned(*them))[1]
    )
    monkeypatch.setattr(engine, "ALIGNED_HEADS", 3)  # of which the model has two
    assert [one.starts for one in backend.align(*given)] == [one.starts for one in together]
    assert rows == [1, 1, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_card_hears_what_the_cpu_does(untrained: dict[str, Path], examples: Path) -> None:
    sounds = sorted(examples.rglob("*.flac"))[:3]
    speech = [audio.load(str(one), sample_rate=SAMPLE_RATE).waveform[:30_000] for one in sounds]
    texts, seconds = [[40, 50], [], [60, 70, 80]], [1.8, 1.8, 1.8]
    states, aligned = [], []
    for device in ("cpu", "cuda"):
        backend: Any = registry.create(
            "asr", "whisper", model=str(untrained["whisper"]), device=device, compute_type="float32"
        )._backend
        prepared = backend.features(speech)
        assert prepared.device.type == device
        hidden = backend.encode(prepared, 1)
        states.append(hidden.cpu())
        start = backend.vocabulary.start("en", "transcribe")
        aligned.append([one.starts for one in backend.align(hidden, start, texts, seconds)])
    torch.testing.assert_close(*states, atol=1e-3, rtol=1e-3)
    assert aligned[0] == aligned[1]


def test_a_process_of_the_engine_imports_no_transformers(
    untrained: dict[str, Path], examples: Path
) -> None:
    sound = sorted(examples.rglob("*.flac"))[0]
    script = f"""
import sys
from speechkit.engines import registry
from speechkit.engines.protocols import Clip
from speechkit.io import audio
engine = registry.create(
    "asr", "whisper", model={str(untrained["whisper"])!r}, language="en", temperature=(0.0,)
)
waveform = audio.load({str(sound)!r}, sample_rate=16000).waveform[:32000]
((heard,),) = engine.transcribe([[Clip(waveform, 2.0)]])
assert heard.text
print(*sorted({{"transformers", "torch"}} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["torch"], done.stderr


@pytest.fixture
def folder(untrained: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(untrained["whisper"], tmp_path / "model"))


def test_weights_in_several_files(folder: Path) -> None:
    whole = folder / "model.safetensors"
    weights = load_file(whole)
    whole.unlink()
    names = sorted(weights)
    parts = {"one.safetensors": names[:9], "two.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    places = {name: file for file, part in parts.items() for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    found = loaded(folder).weights
    assert found.keys() == {*weights, "proj_out.weight"}
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    index.write_text(json.dumps({"weight_map": {**places, names[0]: "../one.safetensors"}}))
    with pytest.raises(EngineMissing, match="names files outside the folder"):
        loaded(folder)


Weights = dict[str, torch.Tensor]


def _harmed(folder: Path, harm: Callable[[Weights], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    harm(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda weights: weights.pop(LAYER), f"weights are missing: {LAYER}"),
        (
            lambda weights: weights.update(other=torch.ones(1)),
            "fit its config.json: other",
        ),
        (lambda weights: weights.update({LAYER: torch.ones(32, 31)}), f"don't fit .*{LAYER}"),
        (lambda weights: weights.update({LAYER: torch.ones(32, 32).int()}), "don't fit"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration(
    harm: Callable[[Weights], object], sentence: str, folder: Path
) -> None:
    _harmed(folder, harm)
    with pytest.raises(EngineMissing, match=sentence):
        loaded(folder)


def test_alignment_heads_of_layers_that_are_not_there(folder: Path) -> None:
    """The decoder has one layer of two heads."""
    path = folder / "generation_config.json"
    usual = json.loads(path.read_text())
    for stated, kept in (([[0, 1], [7, 0], [0, 9]], ((0, 1),)), ([[7, 0]], ((0, 0), (0, 1)))):
        path.write_text(json.dumps({**usual, "alignment_heads": stated}))
        assert loaded(folder).generation.alignment_heads == kept


def test_the_vocabulary_tells_where_no_configuration_does(folder: Path) -> None:
    """English-only ones end a text with token 50256."""
    (folder / "generation_config.json").unlink()
    assert loaded(folder).generation.is_multilingual
    path = folder / "tokenizer.json"
    vocabulary = path.read_text()
    end = Tokenizer.from_file(str(path)).token_to_id("<|endoftext|>")
    path.write_text(re.sub(rf"\b{end}\b", "50256", vocabulary))
    assert not loaded(folder).generation.is_multilingual


def test_configurations_that_are_not_a_whispers(folder: Path) -> None:
    cases = [
        ("config.json", {"model_type": "hubert"}, "no config.json of a Whisper"),
        ("config.json", {"d_model": "wide"}, "d_model is wide, and not a number from 1"),
        ("config.json", {"encoder_layers": 10**9}, "encoder_layers is 1000000000"),
        ("config.json", {"decoder_attention_heads": 3}, "no divisor of 32"),
        ("config.json", {"activation_function": "relu"}, "activation_function is relu"),
        ("config.json", {"encoder_context": 3}, "encoder_context is 3, and not .* up to 2"),
        ("config.json", {"encoder_context": 0}, "encoder_context is 0, and not a number"),
        ("config.json", {"encoder_context": True}, "encoder_context is True, and not a number"),
        ("config.json", {"encoder_context": math.nan}, "encoder_context is nan, and not a number"),
        ("generation_config.json", {"suppress_tokens": [10**6]}, "suppress_tokens has 1000000"),
        ("generation_config.json", {"alignment_heads": [["1", 0]]}, "alignment_heads has 1, and"),
        ("generation_config.json", {"alignment_heads": [1]}, "not as a Whisper has it"),
        ("preprocessor_config.json", {"feature_size": 128}, "feature_size is 128, and not 80"),
        ("tokenizer.json", {"model": None}, "not as a Whisper has it"),
        ("config.json", {"vocab_size": 50_000}, "more tokens than the 50000 of config.json"),
    ]
    for name, more, sentence in cases:
        usual = (folder / name).read_text()
        (folder / name).write_text(json.dumps(json.loads(usual) | more))
        with pytest.raises(EngineMissing, match=sentence) as caught:
            loaded(folder)
        assert str(folder) in str(caught.value)
        (folder / name).write_text(usual)
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).rename(folder / "elsewhere")
        with pytest.raises(EngineMissing, match=name):
            loaded(folder)
        (folder / "elsewhere").rename(folder / name)
    loaded(folder)


def test_a_backend_is_freed_where_its_last_name_ends(untrained: dict[str, Path]) -> None:
    """The next model needs its memory before the garbage collector comes."""
    options = WhisperOptions(model=str(untrained["whisper"]), device="cpu")
    backend = engine.TorchBackend(options)
    seen = weakref.ref(backend)
    gc.disable()
    try:
        del backend
        assert seen() is None
    finally:
        gc.enable()
