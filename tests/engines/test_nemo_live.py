"""NeMo's cache-aware models live: each hypothesis is that of the clip heard at once, though only
its new audio is computed."""

from __future__ import annotations

import sys
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from audiokit import whole
from digitkit import Digit
from speechkit.engines.asr.nemo import checkpoint
from speechkit.engines.asr.nemo.live import CacheAwareDecoder, is_cache_aware
from speechkit.engines.protocols import SAMPLE_RATE

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


def encoder(lookahead: int, **more: Any) -> dict[str, Any]:
    """Of chunks of ``lookahead`` + 1 frames, with two chunks before."""
    return {
        "att_context_style": "chunked_limited",
        "att_context_size": [2 * (lookahead + 1), lookahead],
        "causal_downsampling": True,
        "conv_context_size": "causal",
        "conv_norm_type": "layer_norm",
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
    config = {
        **MODEL,
        "preprocessor": {**MODEL["preprocessor"], "normalize": "NA"},
        "encoder": {**MODEL["encoder"], **changes},
        "decoder": CTC_DECODER,
    }
    tokenizer = {"dir": str(build_tokenizer(folder / "text")), "type": "bpe"}
    model = EncDecCTCModelBPE(DictConfig({**config, "tokenizer": tokenizer})).eval()
    checkpoint.set_decoding(model, timestamps=True, cuda_graphs=False)
    return model


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("encoder", "att_context_style", "regular"),
        ("encoder", "att_context_size", [-1, 3]),
        ("encoder", "conv_context_size", [7, 7]),
        ("encoder.pre_encode", "is_causal", False),
        ("preprocessor.featurizer", "normalize", "per_feature"),
    ],
)
def test_what_makes_a_model_need_the_whole_clip(
    part: str,
    name: str,
    value: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = untrained(tmp_path, encoder(3))
    assert is_cache_aware(model)
    monkeypatch.setattr(attrgetter(part)(model), name, value)
    assert not is_cache_aware(model)
