"""Whisper on CTranslate2, in faster-whisper's layout: the fast engine on a CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctranslate2
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from tokenizers import Tokenizer

from speechkit.engines.asr.whisper.backend import Alignment, Draft, Search
from speechkit.engines.asr.whisper.decoder import Whisper
from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.asr.whisper.vocabulary import TIMESTAMP, Vocabulary
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.stopwatch import Stopwatch
from speechkit.errors import EngineMissing, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

CPU_BATCH = 4  # windows; of base, 12 take a quarter longer a window
CPU_FRAMES = 2000  # encoded at once on a CPU, whose caches a batch of windows would overflow
# Seconds of a window on a CPU. With 30 s the encoder of base takes 1.6 times as long a second of
# audio, because its attention overflows the caches, at about the same accuracy: of 5,700 words of
# LibriSpeech, 9.0 and 9.1 % are wrong with and without VAD, and 9.4 and 8.8 % with 20 s. Shorter
# windows cost accuracy: over 50 utterances, 11.3 % of the words are wrong with 30 s, 11.1 % with
# 20 s, and 12.2 % with windows 5 s longer than each utterance.
CPU_CHUNK = 20.0
CUDA_BATCH = 32  # windows to begin with; halved where memory runs out
CHUNK = 30  # seconds, of every published checkpoint
MOST_STATED = 3000  # seconds or tokens that a configuration may state
MOST_BYTES = 16 << 20  # of a configuration
LONGEST = 448  # tokens, of every published checkpoint; others say so in generation_config.json


def faster_whisper(options: WhisperOptions) -> Whisper:
    """The engine ``faster-whisper``; ``options.model`` is a local folder."""
    return Whisper(CTranslate2Backend(options), options)


class CTranslate2Backend:
    """A `Backend`: one model, one batch at a time, with the threads granted to the worker."""

    windows_a_row = 1

    def __init__(self, options: WhisperOptions) -> None:
        folder, device, compute_type = options.model, options.device, options.compute_type
        path = Path(folder)
        _require_files(path)
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
        self.vocabulary = Vocabulary(tokenizer, _is_multilingual(path, tokenizer))
        self._extractor = FeatureExtractor(
            feature_size=self._model.n_mels,
            chunk_length=_stated(path / "preprocessor_config.json", "chunk_length", CHUNK),
        )
        self.chunk = float(self._extractor.chunk_length)
        if kind == "cpu":
            self.chunk = min(self.chunk, CPU_CHUNK)
        self.longest = _stated(path / "generation_config.json", "max_length", LONGEST)
        self._stopwatch = Stopwatch()

    @property
    def parts(self) -> Mapping[str, float]:
        return self._stopwatch.parts

    def batch_size(self, beams: int, tried: int = 0) -> int:
        return CUDA_BATCH if self.device.startswith("cuda") else CPU_BATCH

    def features(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        samples = round(self.chunk * SAMPLE_RATE)
        frames = samples // self._extractor.hop_length
        features = np.zeros((len(waveforms), self._model.n_mels, frames), np.float32)
        with self._stopwatch.part("features"):
            for row, waveform in enumerate(waveforms):
                padded = np.zeros(samples, np.float32)
                padded[: len(waveform)] = waveform
                features[row] = self._extractor(padded, padding=0)[:, :frames]
        return features

    def encode(self, features: NDArray[np.float32]) -> ctranslate2.StorageView:
        at_once = len(features)
        if self.device == "cpu":
            at_once = max(1, CPU_FRAMES // features.shape[2])
        with self._stopwatch.part("encoder"):
            parts = [
                self._model.encode(
                    ctranslate2.StorageView.from_array(features[first : first + at_once])
                )
                for first in range(0, len(features), at_once)
            ]
        if len(parts) == 1:
            return parts[0]
        return ctranslate2.StorageView.from_array(
            np.concatenate([np.array(part) for part in parts])
        )

    def languages(self, encoded: ctranslate2.StorageView) -> list[dict[str, float]]:
        with self._stopwatch.part("decoder"):
            rankings = self._model.detect_language(encoded)
        return [{token.strip("<|>"): share for token, share in ranking} for ranking in rankings]

    def decode(
        self,
        encoded: ctranslate2.StorageView,
        prompts: list[list[int]],
        search: Search,
        limits: list[int],
        rows: int,
    ) -> list[Draft]:
        """Drafts, as `Backend` has it, in one batch with the highest of the ``limits``.

        CTranslate2 uses a seed for its first sample alone; later samples continue its sequence. It
        allows half of ``max_length``, and no more than the prompt leaves.
        """
        most = max(limits)
        sampling: dict[str, Any] = {"beam_size": search.beams}
        if search.temperature > 0:
            ctranslate2.set_random_seed(search.seed)
            sampling |= {"sampling_topk": 0, "sampling_temperature": search.temperature}
        with self._stopwatch.part("decoder"):
            results = self._model.generate(
                encoded,
                prompts,
                max_length=min(self.longest, max(len(prompts[0]) + most, 2 * most)),
                return_scores=True,
                return_no_speech_prob=True,
                max_initial_timestamp_index=round(1.0 / TIMESTAMP),
                **sampling,
            )
        drafts: list[Draft] = []
        for result in results:
            tokens = result.sequences_ids[0]
            total = result.scores[0] * len(tokens)  # the score is the mean without the end
            drafts.append(Draft(tokens, total / (len(tokens) + 1), result.no_speech_prob))
        return drafts

    def align(
        self,
        encoded: ctranslate2.StorageView,
        start: list[int],
        texts: list[list[int]],
        seconds: list[float],
    ) -> list[Alignment]:
        frames = [max(1, round(length * 100)) for length in seconds]
        with self._stopwatch.part("alignment"):
            results = self._model.align(encoded, start, [text or [220] for text in texts], frames)
        return [
            _alignment(result, len(text)) if text else Alignment([0.0], [])
            for result, text in zip(results, texts, strict=True)
        ]

    def out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, MemoryError) or "out of memory" in str(error)

    def free_memory(self) -> None:
        """Do nothing: CTranslate2 has no cache that could be freed without its model."""


def _require_files(folder: Path) -> None:
    missing = [name for name in ("model.bin", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise EngineMissing(
            f"{folder}: no {' and no '.join(missing)} in it; faster-whisper needs a model in "
            "CTranslate2's layout, made of a Hugging Face one by: ct2-transformers-converter "
            "--model FOLDER --output_dir NEW "
            "--copy_files tokenizer.json preprocessor_config.json"
        )


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


def _alignment(result: Any, count: int) -> Alignment:
    """CTranslate2's alignment of a text of ``count`` tokens."""
    starts: dict[int, float] = {}
    for token, frame in result.alignments:
        starts.setdefault(token, frame * TIMESTAMP)
    end = result.alignments[-1][1] * TIMESTAMP if result.alignments else 0.0
    return Alignment(
        [starts.get(token, end) for token in range(count + 1)], list(result.text_token_probs)
    )


def _is_multilingual(path: Path, tokenizer: Tokenizer) -> bool:
    """Whether the end of text is not at OpenAI's 50256, where English-only vocabularies have it.

    The language tokens don't tell: English-only vocabularies hold them as well.
    """
    return tokenizer.token_to_id("<|endoftext|>") != 50256


def _stated(path: Path, key: str, otherwise: int) -> int:
    """The number at a key of a model's JSON file; ``otherwise`` where the key or file is absent."""
    if not path.is_file():
        return otherwise
    try:
        with open(path, "rb") as file:
            number = int(json.loads(file.read(MOST_BYTES)).get(key) or otherwise)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as e:
        raise EngineMissing(f"{path}: not a configuration in JSON: {e}") from e
    if not 0 < number <= MOST_STATED:
        raise EngineMissing(f"{path}: {key} is {number}, and {MOST_STATED} at most is known")
    return number
