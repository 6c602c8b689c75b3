"""NeMo's cache-aware models live: each hypothesis is that of the clip heard at once, though only
its new audio is computed. The models have random weights, so what they say makes no sense."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from audiokit import EXAMPLES, whole
from runkit import records
from speechkit.engines import registry
from speechkit.engines.asr.nemo import checkpoint
from speechkit.engines.asr.nemo.live import CacheAwareDecoder, is_cache_aware
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import audio
from speechkit.records import Word

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

BLANK = {"ctc": 20.0, "rnnt": 20.0}  # added to its score, so that most frames say nothing
HOP = SAMPLE_RATE // 100  # samples of a frame of the features
REACH = 256  # samples, from a frame's centre to its end

pytestmark = pytest.mark.slow


def encoder(lookahead: int, **more: Any) -> dict[str, Any]:
    """Of chunks of ``lookahead`` + 1 frames, which attend to two chunks before."""
    return {
        "att_context_style": "chunked_limited",
        "att_context_size": [2 * (lookahead + 1), lookahead],
        "causal_downsampling": True,
        "conv_context_size": "causal",
        "conv_norm_type": "layer_norm",
        **more,
    }


def made(folder: Path, kind: str, encoder: dict[str, Any]) -> Any:
    import nemokit as kit
    from omegaconf import DictConfig

    torch.manual_seed(1)
    config = {
        **kit.MODEL,
        "preprocessor": {**kit.MODEL["preprocessor"], "normalize": "NA"},
        "encoder": {**kit.MODEL["encoder"], **encoder},
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 2}},
        "tokenizer": {"dir": str(kit.build_tokenizer(folder / "text")), "type": "bpe"},
    }
    if kind == "ctc":
        config["decoder"] = kit.CTC_DECODER
        model = kit.models.EncDecCTCModelBPE(DictConfig(config))
        last = model.decoder.decoder_layers[0]
    else:
        model = kit.models.EncDecRNNTBPEModel(DictConfig({**config, **kit.TRANSDUCER}))
        last = model.joint.joint_net[-1]
        torch.nn.init.normal_(model.joint.enc.weight, std=0.1)
    torch.nn.init.normal_(last.weight)
    with torch.no_grad():
        last.bias[-1] += BLANK[kind]
        last.bias[0] -= 1e3  # of what is no word
    return model.eval()


@pytest.fixture(scope="module")
def speech() -> Waveform:
    return audio.load(str(EXAMPLES / "awb" / "train.flac"), sample_rate=SAMPLE_RATE).waveform


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Cache-aware models, by their kind."""
    found = {}
    for kind in BLANK:
        folder: Path = tmp_path_factory.mktemp(kind)
        found[kind] = folder / "model.nemo"
        made(folder, kind, encoder(3)).save_to(str(found[kind]))
    return found


@pytest.fixture(scope="module")
def engines(files: dict[str, Path]) -> dict[str, Any]:
    return {kind: registry.create("asr", "nemo", model=str(file)) for kind, file in files.items()}


def at_once(engine: Any, waveform: Waveform) -> tuple[Word, ...]:
    ((found,),) = engine.transcribe([[whole(waveform)]])
    return tuple(word for segment in found.segments for word in segment.words)


@pytest.mark.parametrize("kind", BLANK)
def test_each_hypothesis_is_that_of_the_clip_heard_at_once(
    kind: str, engines: dict[str, Any], speech: Waveform
) -> None:
    """And the words that are stable stay what they are."""
    decoder = engines[kind].live()
    stable: tuple[Word, ...] = ()
    grown = []
    for size in [*range(1_000, len(speech), 6_901), len(speech)]:
        ended = size == len(speech)
        found = decoder.hear(whole(speech[:size]), (), ended=ended)
        assert found.words == at_once(engines[kind], speech[:size])
        assert found.words[: len(stable)] == stable
        stable = found.words[: found.stable]
        assert ended or not found.words or len(stable) < len(found.words)
        grown.append(len(stable))
    assert len(stable) == len(found.words) >= 8
    assert grown[-2] > grown[-4] > 0


@pytest.mark.parametrize("kind", BLANK)
def test_no_frame_is_lost_at_the_end(kind: str, engines: dict[str, Any], speech: Waveform) -> None:
    """Around the end of a chunk, and of the four frames that make one of the encoder's."""
    for frames in range(106, 114):
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


@pytest.mark.parametrize("kind", BLANK)
def test_chunks_are_heard_as_by_nemos_own_streaming(
    kind: str, files: dict[str, Path], engines: dict[str, Any], speech: Waveform
) -> None:
    model = checkpoint.restore(files[kind], torch.device("cpu"))
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


@pytest.mark.parametrize("kind", BLANK)
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


def test_features_are_those_of_the_whole(engines: dict[str, Any], speech: Waveform) -> None:
    decoder = engines["ctc"].live()
    with torch.inference_mode():
        length = torch.tensor([len(speech)])
        features, _ = decoder._model.preprocessor(
            input_signal=torch.from_numpy(speech)[None], length=length
        )
        for start, end in ((0, 1), (1, 9), (8, 29), (200, 216), (300, len(speech) // HOP)):
            found = decoder._features(speech, start, end)
            torch.testing.assert_close(found, features[:, :, start:end], atol=1e-4, rtol=0)


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


@pytest.mark.parametrize("kind", BLANK)
def test_words_said_are_left_out(kind: str, engines: dict[str, Any], speech: Waveform) -> None:
    clip = whole(speech)
    everything = engines[kind].live().hear(clip, (), ended=False)
    said = everything.words[:3]
    rest = engines[kind].live().hear(clip, said, ended=False)
    assert rest.words == everything.words[3:]
    assert rest.stable == everything.stable - 3


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
    """The log probabilities are those of the whole clip."""
    model = made(tmp_path, "ctc", changes)
    checkpoint.set_decoding(model, timestamps=True, cuda_graphs=False)
    decoder = CacheAwareDecoder(model, None, 30.0)
    for size in range(4_000, 32_000, 4_000):
        decoder.hear(whole(speech[:size]), (), ended=False)
        with torch.inference_mode():
            found = decoder._go_on(decoder._heard, speech[:size], size // HOP).decoded
            signal, length = torch.from_numpy(speech[:size])[None], torch.tensor([size])
            expected, frames, _ = model(input_signal=signal, input_signal_length=length)
        torch.testing.assert_close(found, expected[:, : int(frames)], atol=1e-4, rtol=1e-5)


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


def test_the_command(files: dict[str, Path], speechkit: Any, tmp_path: Path) -> None:
    """Of the whole recording, in steps and in one: the same words, each within its final."""
    texts = []
    for step in (0.5, 10):
        events = tmp_path / f"{step}.jsonl"
        speechkit("stream", EXAMPLES / "awb" / "train.flac", "--engine", "nemo", "--model",
                  files["ctc"], "--step", step, "-o", events)  # fmt: skip
        *said, end = records(events)
        assert [event["start"] for event in said] == [0.0, *(event["end"] for event in said[:-1])]
        assert (end["type"], said[-1]["end"]) == ("end", end["seconds"])
        finals = [event for event in said if event["type"] == "final"]
        texts.append(" ".join(final["text"] for final in finals))
        for final in finals:
            times = [time for word in final["words"] for time in (word["start"], word["end"])]
            assert times == sorted(times)
            assert final["start"] <= times[0] <= times[-1] <= final["end"]
    assert texts[0] == texts[1]
    assert len(texts[0].split()) >= 8
