"""NeMo's cache-aware models live: each hypothesis is that of the clip heard at once, though only
its new audio is computed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import yaml

from audiokit import whole
from digitkit import Digit
from speechkit.engines import registry
from speechkit.engines.asr.nemo import checkpoint
from speechkit.engines.asr.nemo.live import CacheAwareDecoder, is_cache_aware
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.records import Word

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

KINDS = ["ctc", "rnnt"]
HOP = SAMPLE_RATE // 100  # samples of a frame of the features
REACH = 256  # samples, from a frame's centre to its end

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def speech(digits: list[Digit]) -> Waveform:
    """Ten digits in nine seconds, the last one cut off in its middle."""
    rng = np.random.default_rng(11)
    parts: list[Any] = []
    for index in rng.permutation(len(digits))[:10]:
        pause = np.zeros(round(rng.uniform(0.2, 0.8) * SAMPLE_RATE), np.float32)
        parts += [pause, digits[int(index)].waveform]
    waveform = np.concatenate(parts)[: -len(parts[-1]) // 3]
    hiss = 3e-4 * rng.standard_normal(len(waveform))
    return np.asarray(waveform + hiss, np.float32)


@pytest.fixture(scope="module")
def models(nemos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The transducer, which is cache-aware; and the CTC model of the same encoder, made so."""
    folder: Path = tmp_path_factory.mktemp("ctc")
    subprocess.run(["tar", "-xf", nemos["ctc"], "-C", folder], check=True)
    path = folder / "model_config.yaml"
    config = yaml.safe_load(path.read_text())
    config["encoder"] |= {"att_context_style": "chunked_limited", "att_context_size": [24, 3]}
    path.write_text(yaml.safe_dump(config))
    return {"ctc": folder, "rnnt": nemos["rnnt"]}


@pytest.fixture(scope="module")
def engines(models: dict[str, Path]) -> dict[str, Any]:
    return {
        kind: registry.create("asr", "nemo", model=str(model)) for kind, model in models.items()
    }


def at_once(engine: Any, waveform: Waveform) -> tuple[Word, ...]:
    ((found,),) = engine.transcribe([[whole(waveform)]])
    return tuple(word for segment in found.segments for word in segment.words)


@pytest.mark.parametrize("kind", KINDS)
def test_each_hypothesis_is_that_of_the_clip_heard_at_once(
    kind: str, engines: dict[str, Any], speech: Waveform
) -> None:
    """And the words that are stable stay what they are."""
    decoder = engines[kind].live()
    stable: tuple[Word, ...] = ()
    for size in [*range(100, len(speech), 5_903), len(speech)]:
        ended = size == len(speech)
        found = decoder.hear(whole(speech[:size]), (), ended=ended)
        assert found.words == at_once(engines[kind], speech[:size])
        assert found.words[: len(stable)] == stable
        stable = found.words[: found.stable]
        assert ended or not found.words or len(stable) < len(found.words)
        seconds = size / SAMPLE_RATE
        assert [word for word in found.words if word.end < seconds - 2.5] <= list(stable)
    assert len(stable) == len(found.words) >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_is_lost_at_the_end(kind: str, engines: dict[str, Any], speech: Waveform) -> None:
    """Wherever a clip ends in a chunk of 16 frames."""
    for frames in range(102, 119):
        size = frames * HOP + 7 * (frames % 3)
        found = engines[kind].live().hear(whole(speech[:size]), (), ended=True)
        assert found.words == at_once(engines[kind], speech[:size])


def own(model: Any, features: torch.Tensor) -> Iterator[tuple[int, str]]:
    """NeMo's streaming, chunk by chunk: the frames so far, and the text."""
    from nemo.collections.asr.parts.utils.streaming_utils import CacheAwareStreamingAudioBuffer

    buffer = CacheAwareStreamingAudioBuffer(model)
    buffer.append_processed_signal(features)
    caches = model.encoder.get_initial_cache_state(batch_size=1)
    hypotheses = predictions = None
    for step, (chunk, lengths) in enumerate(buffer):
        predictions, found, *caches, hypotheses = model.conformer_stream_step(
            chunk,
            lengths,
            *caches,
            keep_all_outputs=buffer.is_buffer_empty(),
            previous_hypotheses=hypotheses,
            previous_pred_out=predictions,
            drop_extra_pre_encoded=model.encoder.streaming_cfg.drop_extra_pre_encoded * (step > 0),
        )
        yield min(buffer.buffer_idx, features.shape[2]), found[0].text


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_are_heard_as_by_nemos_own_streaming(
    kind: str, models: dict[str, Path], engines: dict[str, Any], speech: Waveform
) -> None:
    model = checkpoint.restore(models[kind], torch.device("cpu"))
    frames = len(speech) // HOP // 16 * 16 + 6  # NeMo leaves out fewer than four at the end
    size = (frames - 1) * HOP + REACH
    with torch.inference_mode():
        features, _ = model.preprocessor(
            input_signal=torch.from_numpy(speech[:size])[None], length=torch.tensor([size])
        )
        theirs = list(own(model, features[:, :, :frames]))
    decoder = engines[kind].live()
    ours = [
        decoder.hear(whole(speech[: (end - 1) * HOP + REACH]), (), ended=False).words
        for end, _ in theirs
    ]
    assert [" ".join(word.text for word in words) for words in ours] == [text for _, text in theirs]
    assert theirs[-1][0] == frames
    assert len(theirs[-1][1].split()) >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_only_new_audio_is_computed(kind: str, engines: dict[str, Any], speech: Waveform) -> None:
    """A chunk that isn't whole, and a few frames before the new ones, are computed again."""
    computed: list[int] = []
    model = engines[kind]._model
    hook = model.preprocessor.register_forward_pre_hook(
        lambda _module, _args, inputs: computed.append(inputs["input_signal"].shape[1]),
        with_kwargs=True,
    )
    decoder = engines[kind].live()
    step, chunk = 8_000, 16 * HOP
    for size in range(step, len(speech), step):
        computed.clear()
        decoder.hear(whole(speech[:size]), (), ended=False)
        chunks = len(computed)
        assert sum(computed) <= step + chunk + chunks * (7 * HOP + 2 * REACH)
    hook.remove()


def test_how_a_clip_grows_makes_no_difference(engines: dict[str, Any], speech: Waveform) -> None:
    """Nor does another decoder beside it: the log probabilities are the same bits."""
    decoders = [engines["ctc"].live() for _ in range(2)]
    for size in range(1_000, len(speech), 4_321):
        decoders[0].hear(whole(speech[:size]), (), ended=False)
        if size % 2:
            decoders[1].hear(whole(speech[:size]), (), ended=False)
    decoders.append(engines["ctc"].live())
    for decoder in decoders:
        decoder.hear(whole(speech), (), ended=True)
    first, *others = (decoder._heard.decoded for decoder in decoders)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_words_said_are_left_out(kind: str, engines: dict[str, Any], speech: Waveform) -> None:
    clip = whole(speech)
    everything = engines[kind].live().hear(clip, (), ended=False)
    said = everything.words[:3]
    rest = engines[kind].live().hear(clip, said, ended=False)
    assert rest.words == everything.words[3:]
    assert rest.stable == everything.stable - 3


def encoder(lookahead: int, **more: Any) -> dict[str, Any]:
    return {
        "att_context_style": "chunked_limited",
        "att_context_size": [2 * (lookahead + 1), lookahead],
        **more,
    }


@pytest.mark.parametrize(
    "changes",
    [
        encoder(0),
        encoder(1, conv_norm_type="batch_norm"),
        encoder(6, subsampling="dw_striding", subsampling_factor=8),
        encoder(0, subsampling="dw_striding", subsampling_factor=8, n_layers=2),
    ],
)
def test_chunks_of_other_sizes(changes: dict[str, Any], speech: Waveform, tmp_path: Path) -> None:
    """Random weights: the log probabilities are those of the whole clip."""
    model = untrained(tmp_path, changes)
    decoder = CacheAwareDecoder(model, None, 30.0)
    for size in range(4_000, 32_000, 4_000):
        decoder.hear(whole(speech[:size]), (), ended=False)
        with torch.inference_mode():
            found = decoder._go_on(decoder._heard, speech[:size], size // HOP).decoded
            signal, length = torch.from_numpy(speech[:size])[None], torch.tensor([size])
            expected, frames, _ = model(input_signal=signal, input_signal_length=length)
        torch.testing.assert_close(found, expected[:, : int(frames)], atol=1e-4, rtol=0)


def untrained(folder: Path, changes: dict[str, Any]) -> Any:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
    from nemo.collections.asr.models import EncDecCTCModelBPE
    from omegaconf import DictConfig

    from tiny_models.nemo import CTC_DECODER, MODEL, build_tokenizer

    torch.manual_seed(1)
    config = {**MODEL, "encoder": {**MODEL["encoder"], **changes}, "decoder": CTC_DECODER}
    tokenizer = {"dir": str(build_tokenizer(folder / "text")), "type": "bpe"}
    model = EncDecCTCModelBPE(DictConfig({**config, "tokenizer": tokenizer})).eval()
    checkpoint.set_decoding(model, timestamps=True, cuda_graphs=False)
    return model


def test_a_model_without_chunks_has_no_decoder_of_its_own(nemos: dict[str, Path]) -> None:
    assert registry.create("asr", "nemo", model=str(nemos["ctc"])).live() is None


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("encoder", "att_context_style", "regular"),
        ("encoder", "att_context_size", [-1, 3]),
        ("encoder", "conv_context_size", [7, 7]),
        ("encoder.pre_encode", "is_causal", False),
        ("preprocessor.featurizer", "normalize", "per_feature"),
        ("decoding.decoding", "decoding_computer", None),
    ],
)
def test_what_makes_a_model_need_the_whole_clip(
    part: str,
    name: str,
    value: Any,
    engines: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = engines["rnnt"]._model
    assert is_cache_aware(model)
    monkeypatch.setattr(attrgetter(part)(model), name, value)
    assert not is_cache_aware(model)
