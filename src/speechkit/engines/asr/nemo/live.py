"""Live decoding by models with a cache-aware encoder: only new audio is computed.

Such an encoder attends to a chunk and to some before it, and its convolutions look back only, so
that what it makes of a chunk depends on no later audio. Caches hold what the next chunk needs
(Noroozi et al. 2024, arXiv 2312.17279).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from speechkit.engines.asr.live import after, words_of
from speechkit.engines.asr.nemo import checkpoint, prompts, timestamps
from speechkit.engines.protocols import SAMPLE_RATE, LiveDecoder, LiveHypothesis

if TYPE_CHECKING:
    from speechkit.engines.protocols import Clip, Waveform
    from speechkit.records import Word

OF_ALL_AUDIO = ("per_feature", "all_features")  # normalisations that need the whole clip


def is_cache_aware(model: Any) -> bool:
    """Whether the encoder can go on chunk by chunk with the results of the whole, and the decoder
    frame by frame."""
    encoder = model.encoder
    return (
        getattr(encoder, "att_context_style", "") == "chunked_limited"
        and encoder.att_context_size[0] > 0
        and encoder.att_context_size[1] >= 0
        and encoder.conv_context_size[1] == 0
        and getattr(encoder.pre_encode, "is_causal", False)
        and encoder.reduction_position is None
        and _has_plain_frames(model)
        and (not hasattr(model, "joint") or _Transducer.suits(model))
    )


def _has_plain_frames(model: Any) -> bool:
    """Whether each frame of the features is made of the samples around it alone."""
    featurizer: Any = getattr(model.preprocessor, "featurizer", None)
    return (
        hasattr(featurizer, "hop_length")
        and featurizer.normalize not in OF_ALL_AUDIO
        and not featurizer.exact_pad
        and featurizer.frame_splicing == 1
        and checkpoint.sample_rate(model) == SAMPLE_RATE
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """After the first ``frames`` of the features: the encoder's ``caches``, and what the decoder
    has ``decoded``, None before its first frame."""

    frames: int
    caches: tuple[Tensor, ...]
    decoded: Any = None


class CacheAwareDecoder(LiveDecoder):
    """A LiveDecoder. Whole chunks of a clip are heard once, at the same places however it grows;
    the rest, less than a chunk, anew each time. So each hypothesis is that of the clip heard at
    once, and the words of whole chunks are stable, but for the last one, which may still grow.
    """

    def __init__(self, model: Any, language: str | None, longest: float) -> None:
        self.longest = longest
        self._language = language
        self._model = model
        if prompts.index(model, language) is not None:
            model.set_inference_prompt(language or "auto")
        self._decoder = _Transducer(model) if hasattr(model, "joint") else _Ctc(model)
        self._stride = checkpoint.seconds_a_frame(model)
        featurizer, streaming = model.preprocessor.featurizer, model.encoder.streaming_cfg
        featurizer.pad_to = 0
        self._hop: int = featurizer.hop_length
        self._reach: int = featurizer.n_fft // 2
        self._first: int
        self._chunk: int
        self._first, self._chunk = streaming.chunk_size
        self._memory: int = streaming.pre_encode_cache_size[1]
        weights = next(model.encoder.parameters())
        self._device = weights.device
        caches = model.encoder.get_initial_cache_state(batch_size=1, dtype=weights.dtype)
        self._heard = Heard(0, caches)

    @torch.inference_mode()
    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        waveform = clip.waveform
        while self._samples(end := self._next_end()) <= len(waveform):
            self._heard = self._go_on(self._heard, waveform, end)
        everything = self._go_on(self._heard, waveform, len(waveform) // self._hop)
        words = self._words(everything, clip.seconds)
        stable = len(words) if ended else len(self._words(self._heard, clip.seconds)) - 1
        new = tuple(_after(words, said))
        stable = max(0, stable - (len(words) - len(new)))
        return LiveHypothesis(new, self._language, stable)

    def _next_end(self) -> int:
        """The frame at which the next whole chunk ends."""
        return self._heard.frames + (self._chunk if self._heard.frames else self._first)

    def _samples(self, frames: int) -> int:
        """Of which the first frames of the features are made."""
        return (frames - 1) * self._hop + self._reach

    def _go_on(self, heard: Heard, waveform: Waveform, end: int) -> Heard:
        """Hear the frames up to ``end``, too."""
        if end == heard.frames:
            return heard
        encoder = self._model.encoder
        start = max(0, heard.frames - self._memory)  # of what the subsampling needs again
        again = math.ceil((heard.frames - start) / encoder.subsampling_factor)
        features = self._features(waveform, start, end)
        frames = torch.tensor([features.shape[2]], device=self._device)
        encoded, _, *caches = encoder.cache_aware_stream_step(
            features, frames, *heard.caches, drop_extra_pre_encoded=again
        )
        encoded = self._model._apply_prompt_to_encoded(encoded)
        return Heard(end, tuple(caches), self._decoder.go_on(heard.decoded, encoded))

    def _features(self, waveform: Waveform, start: int, end: int) -> Tensor:
        """[1, mels, end - start]: these frames of the features of the whole clip."""
        lead = min(start, math.ceil((self._reach + 1) / self._hop))  # of the pre-emphasis, one more
        samples = waveform[(start - lead) * self._hop : self._samples(end)]
        signal = torch.from_numpy(samples)[None].to(self._device)
        length = torch.tensor([len(samples)], device=self._device)
        features, _ = self._model.preprocessor(input_signal=signal, length=length)
        return features[:, :, lead : lead + end - start]

    def _words(self, heard: Heard, seconds: float) -> tuple[Word, ...]:
        if heard.decoded is None:
            return ()
        output = self._decoder.output(heard.decoded)
        found = timestamps.hypothesis(output, seconds, self._stride, self._language)
        return tuple(word for segment in found.segments for word in words_of(segment))


def _after(words: Sequence[Word], said: Sequence[Word]) -> Sequence[Word]:
    """The words after those ``said``: by number if those were stable, else by their times."""
    count = len(said)
    if [word.text for word in words[:count]] == [word.text for word in said]:
        return words[count:]
    return after(words, said)


class _Decoder(Protocol):
    def go_on(self, decoded: Any, encoded: Tensor) -> Any:
        """Decode more frames ``encoded`` [1, width, frames]. Leaves ``decoded`` as it is."""
        ...

    def output(self, decoded: Any) -> Any:
        """NeMo's hypothesis, with times in frames. Leaves ``decoded`` as it is."""
        ...


class _Ctc(_Decoder):
    """What it has decoded are the log probabilities [1, frames, vocabulary and blank]."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def go_on(self, decoded: Tensor | None, encoded: Tensor) -> Tensor:
        found: Tensor = self._model.decoder(encoder_output=encoded)
        return found if decoded is None else torch.cat([decoded, found], dim=1)

    def output(self, decoded: Tensor) -> Any:
        lengths = torch.tensor([decoded.shape[1]], device=decoded.device)
        (output,) = self._model.decoding.ctc_decoder_predictions_tensor(
            decoded, decoder_lengths=lengths, return_hypotheses=True
        )
        return output


class _Transducer(_Decoder):
    """What it has decoded is NeMo's hypothesis, with the prediction network's state."""

    def __init__(self, model: Any) -> None:
        self._decoding = model.decoding

    @staticmethod
    def suits(model: Any) -> bool:
        """Whether the decoding can go on from a state: greedy, without durations of tokens."""
        from nemo.collections.asr.parts.submodules import rnnt_greedy_decoding

        greedy = model.decoding.decoding
        kind = rnnt_greedy_decoding.GreedyBatchedRNNTInfer
        return type(greedy) is kind and greedy.decoding_computer is not None

    def go_on(self, decoded: Any, encoded: Tensor) -> Any:
        lengths = torch.tensor([encoded.shape[2]], device=encoded.device)
        before = None if decoded is None else [copy(decoded)]  # NeMo adds to it
        ((found,),) = self._decoding.decoding(
            encoder_output=encoded, encoded_lengths=lengths, partial_hypotheses=before
        )
        return found

    def output(self, decoded: Any) -> Any:
        (output,) = self._decoding.decode_hypothesis([copy(decoded)])
        return self._decoding.compute_rnnt_timestamps(output)
