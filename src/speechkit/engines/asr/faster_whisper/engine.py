"""Whisper on CTranslate2, in faster-whisper's layout: the fast engine on a CPU."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctranslate2
import numpy as np
from ctranslate2 import StorageView
from faster_whisper.feature_extractor import FeatureExtractor
from tokenizers import Tokenizer

from speechkit.engines.asr.faster_whisper.model_folder import require_files, stated, stated_context
from speechkit.engines.asr.whisper.backend import Alignment, Draft, Search
from speechkit.engines.asr.whisper.decoder import Whisper
from speechkit.engines.asr.whisper.kept_backend import kept
from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.asr.whisper.temperature_fallback import max_tokens
from speechkit.engines.asr.whisper.vocabulary import TIMESTAMP, Vocabulary, is_multilingual
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.stopwatch import Stopwatch
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

CPU_BATCH = 4  # windows decoded at once; of base, 12 take a quarter longer a window
CPU_CALL = 4  # such batches in a call, so that windows padded to the same length come together
# On a CPU a window is as short as its clip and CPU_TAIL seconds of silence allow, in steps that let
# windows share a batch, and CPU_LONGEST seconds at most: with 30 s the encoder of base takes 1.6
# times as long a second of audio. Words wrong with these windows and with all of 20 s, which take
# 14 to 27 % more CPU time: 124 and 120 of 1,050 of LibriSpeech in 50 files, 138 and 139 of the same
# faster and slower, 188 and 192 of 1,389 in long recordings. With CPU_SHORTEST at 12.5, 10 and 0 s,
# 125, 130 and 145 are wrong in the files; without the silence 224 in a long recording, not 187.
CPU_LONGEST = 20.0
CPU_SHORTEST = 15.0
CPU_STEP = 2.5
CPU_TAIL = 1.0
CUDA_BATCH = 32  # windows to begin with; halved where memory runs out
CHUNK = 30  # seconds, of every published checkpoint
LONGEST = 448  # tokens, of every published checkpoint; others say so in generation_config.json


def faster_whisper(options: WhisperOptions) -> Whisper:
    """The engine ``faster-whisper``; ``options.model`` is a local folder."""
    return Whisper(kept(CTranslate2Backend, options), options)


class CTranslate2Backend:
    """A `Backend`: one model, one batch at a time, with the threads granted to the worker."""

    def __init__(self, options: WhisperOptions) -> None:
        folder, device, compute_type = options.model, options.device, options.compute_type
        path = Path(folder)
        require_files(path)
        self.device = _device(device)
        kind, _, index = self.device.partition(":")
        self.compute_type = _compute_type(compute_type, kind)
        self._model = ctranslate2.models.Whisper(
            folder,
            device=kind,
            device_index=int(index or 0),
            compute_type=self.compute_type,
            intra_threads=int(os.environ.get("OMP_NUM_THREADS", "1")),
            inter_threads=1,
        )
        self.detects = bool(self._model.is_multilingual)
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        self.vocabulary = Vocabulary(tokenizer, is_multilingual(tokenizer))
        self._window = float(stated(path / "preprocessor_config.json", "chunk_length", CHUNK))
        self.context = stated_context(path / "config.json", self._window)
        self._extractor = FeatureExtractor(feature_size=self._model.n_mels)
        self.chunk = self._window
        self.windows_a_row = 1
        if kind == "cpu":
            self.chunk = max(self.context, min(self._window, CPU_LONGEST))
            self.windows_a_row = CPU_CALL
        self.longest = stated(path / "generation_config.json", "max_length", LONGEST)
        self._stopwatch = Stopwatch()

    @property
    def parts(self) -> dict[str, float]:
        return self._stopwatch.parts

    def batch_size(self, beams: int, tried: int = 0) -> int:
        return CUDA_BATCH if self.device.startswith("cuda") else CPU_BATCH

    def features(self, waveforms: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """Log-mel features [mels, frames] of each window."""
        with self._stopwatch.part("features"):
            return [self._features(one, self.window(len(one) / SAMPLE_RATE)) for one in waveforms]

    def longer_window(self, waveform: Waveform) -> list[NDArray[np.float32]] | None:
        seconds = len(waveform) / SAMPLE_RATE
        if seconds <= self.context or self.window(seconds) >= self._window:
            return None
        with self._stopwatch.part("features"):
            return [self._features(waveform, self._window)]

    def _features(self, waveform: Waveform, window: float) -> NDArray[np.float32]:
        samples = round(window * SAMPLE_RATE)
        padded = np.zeros(samples, np.float32)
        padded[: len(waveform)] = waveform
        frames = samples // self._extractor.hop_length
        features: NDArray[np.float32] = self._extractor(padded, padding=0)[:, :frames]
        return features

    def window(self, seconds: float) -> float:
        if seconds <= self.context:
            return self.context
        if self.device != "cpu":
            return self._window
        steps = math.ceil((seconds + CPU_TAIL) / CPU_STEP)
        return min(self._window, max(CPU_SHORTEST, steps * CPU_STEP))

    def encode(self, features: Sequence[NDArray[np.float32]], rows: int) -> list[StorageView]:
        """Batches of ``rows`` windows."""
        with self._stopwatch.part("encoder"):
            return [
                self._encode(features[first : first + rows])
                for first in range(0, len(features), rows)
            ]

    def _encode(self, features: Sequence[NDArray[np.float32]]) -> StorageView:
        """On a CPU one window after another: its caches are too small for several."""
        at_once = 1 if self.device == "cpu" else len(features)
        parts = [
            self._model.encode(StorageView.from_array(np.stack(features[first : first + at_once])))
            for first in range(0, len(features), at_once)
        ]
        if len(parts) > 1:
            return StorageView.from_array(np.concatenate([np.array(part) for part in parts]))
        return parts[0]

    def languages(self, encoded: Sequence[StorageView]) -> list[dict[str, float]]:
        with self._stopwatch.part("decoder"):
            return [
                {token.strip("<|>"): share for token, share in ranking}
                for batch in encoded
                for ranking in self._model.detect_language(batch)
            ]

    def decode(
        self,
        encoded: Sequence[StorageView],
        prompts: list[list[int]],
        search: Search,
        limits: list[int],
        rows: int,
    ) -> list[Draft]:
        """Drafts, as `Backend` has it, in the batches of `encode`.

        CTranslate2 counts the text that ends a prompt to the result, and its probability as 1.

        CTranslate2 has one limit for a batch: that of the seconds to which its windows are padded,
        so that no window depends on the others. Tokens beyond its own are dropped; the mean is that
        of all. It allows half of ``max_length``, and no more than the prompt leaves. It uses a seed
        for its first sample alone; later samples continue its sequence.
        """
        sampling: dict[str, Any] = {"beam_size": search.beams}
        if search.temperature > 0:
            ctranslate2.set_random_seed(search.seed)
            sampling |= {"sampling_topk": 0, "sampling_temperature": search.temperature}

        said = self.vocabulary.text_at_end(prompts[0])
        drafts: list[Draft] = []
        with self._stopwatch.part("decoder"):
            for states, part in _rows(encoded):
                most = max_tokens(states.shape[1] * TIMESTAMP)
                results = self._model.generate(
                    states,
                    prompts[part],
                    max_length=min(self.longest, max(len(prompts[0]) + most, 2 * most)),
                    return_scores=True,
                    return_no_speech_prob=True,
                    max_initial_timestamp_index=round(1.0 / TIMESTAMP),
                    suppress_blank=said == 0,  # which keeps a text from ending before it begins
                    **sampling,
                )
                drafts += [
                    _draft(result, said, limit)
                    for result, limit in zip(results, limits[part], strict=True)
                ]
        return drafts

    def align(
        self,
        encoded: Sequence[StorageView],
        start: list[int],
        texts: list[list[int]],
        seconds: list[float],
    ) -> list[Alignment]:
        alignments: list[Alignment] = []
        with self._stopwatch.part("alignment"):
            for states, part in _rows(encoded):
                frames = [max(1, round(100 * length)) for length in seconds[part]]
                spoken = [text or [220] for text in texts[part]]
                results = self._model.align(states, start, spoken, frames)
                alignments += [
                    _alignment(result, len(text)) if text else Alignment([0.0], [])
                    for result, text in zip(results, texts[part], strict=True)
                ]
        return alignments

    def out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, MemoryError) or "out of memory" in str(error)

    def free_memory(self) -> None:
        """Do nothing: CTranslate2 has no cache that could be freed without its model."""


def _rows(encoded: Sequence[StorageView]) -> Iterator[tuple[StorageView, slice]]:
    """The batches of a call, each with its rows of the call."""
    first = 0
    for states in encoded:
        yield states, slice(first, first + states.shape[0])
        first += states.shape[0]


def _device(name: str) -> str:
    """The device of ``--device``; auto: a GPU where there is one. Raise `UsageError`."""
    if name == "auto":
        return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: faster-whisper runs on cpu, cuda and cuda:N")
    if kind == "cuda" and not ctranslate2.get_cuda_device_count():
        raise UsageError(f"--device {name}: CTranslate2 sees no CUDA device; take cpu")
    return name


def _compute_type(name: str, kind: str) -> str:
    """The precision of ``--compute-type`` on a kind of device. Raise `UsageError`."""
    if name == "auto":
        name = "float16" if kind == "cuda" else "int8_float32"
    supported = ctranslate2.get_supported_compute_types(kind)
    if name not in supported:
        raise UsageError(
            f"--compute-type {name}: on {kind} there are {', '.join(sorted(supported))}"
        )
    return name


def _draft(result: Any, said: int, limit: int) -> Draft:
    """The draft of a result whose first ``said`` tokens are the prompt's."""
    total = result.scores[0] * len(result.sequences_ids[0])  # the mean is that without the end
    tokens = result.sequences_ids[0][said:]
    return Draft(tokens[:limit], total / (len(tokens) + 1), result.no_speech_prob)


def _alignment(result: Any, count: int) -> Alignment:
    """CTranslate2's alignment of a text of ``count`` tokens."""
    starts: dict[int, float] = {}
    for token, frame in result.alignments:
        starts.setdefault(token, frame * TIMESTAMP)
    end = result.alignments[-1][1] * TIMESTAMP if result.alignments else 0.0
    return Alignment(
        [starts.get(token, end) for token in range(count + 1)], list(result.text_token_probs)
    )
