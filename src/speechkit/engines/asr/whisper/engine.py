"""Whisper on PyTorch: any checkpoint in transformers' layout, on CUDA, MPS or CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import torch

from speechkit.engines.asr.whisper import alignment, checkpoint, memory
from speechkit.engines.asr.whisper.backend import Alignment, Draft, Search
from speechkit.engines.asr.whisper.decoder import Whisper
from speechkit.engines.asr.whisper.decoder_layers import DecoderLayers
from speechkit.engines.asr.whisper.decoding_loop import DecodingLoop
from speechkit.engines.asr.whisper.encoder import Encoder
from speechkit.engines.asr.whisper.kept_backend import kept
from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.asr.whisper.vocabulary import Vocabulary
from speechkit.engines.encoders.log_mel import LogMel
from speechkit.engines.mel_filters import HOP
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.stopwatch import Stopwatch
from speechkit.engines.torch import device as torch_device

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.beam_search import BeamSearch
    from speechkit.engines.protocols import Waveform

# Positions of a window on a CPU, 20 s. Over 50 utterances of LibriSpeech, base takes 25 % less time
# than with 30 s, and 12.6 instead of 13.1 % of the words are wrong.
CPU_WINDOW = 1000
CPU_POSITIONS = 1500  # encoded at once on a CPU, whose caches a batch of windows would overflow
ROWS = 256  # windows decoded at once, at most: a row gains little beyond 128
# By a simulation with the times of a step on an H200 and the lengths of LibriSpeech's utterances,
# two windows a row take a quarter less decoding time than one, and four 3 % less than two.
WINDOWS_A_ROW = 2
# cuDNN plans its attention anew for each length, in tens of milliseconds.
ALIGNED_TOKENS = 32  # texts are aligned in steps of so many tokens on CUDA
ALIGNED = 16  # windows at once: the keys, values and weights of each take 14 MB in a large model
# Heads of all windows at once: the weights of each take 1.3 MB, at 225 tokens. A fine-tune that
# states no alignment heads has up to 320 of them, a published checkpoint no more than 23.
ALIGNED_HEADS = 384
CUDA_FEATURES = 32  # windows whose features are computed at once: their spectra take 5 MB each


def whisper(options: WhisperOptions) -> Whisper:
    """The engine ``whisper``; ``options.model`` is a local folder."""
    return Whisper(kept(TorchBackend, options), options)


class TorchBackend:
    """A `Backend` on PyTorch. On CUDA it gets ready in a thread, until windows are encoded."""

    detects = True

    def __init__(self, options: WhisperOptions) -> None:
        self._device = torch_device.device(options.device, "whisper")
        self._dtype = torch_device.dtype(options.compute_type, self._device, "whisper")
        self.device = str(self._device)
        self.compute_type = torch_device.name(self._dtype)
        # Without self: in a cycle, the weights would outlive the backend.
        self._stopwatch = Stopwatch(partial(torch_device.synchronize, self._device))
        self._checkpoint = checkpoint.load(Path(options.model), self._device, self._dtype)
        self.context = self._checkpoint.context
        if self._device.type == "cpu":
            positions = max(CPU_WINDOW, self._frames_of(self.context) // 2)
            self._checkpoint = self._checkpoint.shortened(positions)
        config, rules = self._checkpoint.config, self._checkpoint.generation
        self.vocabulary = Vocabulary(self._checkpoint.tokenizer, rules.is_multilingual)
        self.longest = config.max_target_positions
        self.chunk = 2 * config.max_source_positions * HOP / SAMPLE_RATE
        self._on_card = self._device.type == "cuda"
        feature_device = self._device if self._on_card else torch.device("cpu")
        self._log_mel = LogMel(config.num_mel_bins, feature_device)
        self._encoder = Encoder(self._checkpoint)
        self._layers = DecoderLayers(self._checkpoint)
        self._loop = DecodingLoop(self._layers, self.vocabulary, rules)
        self.windows_a_row = WINDOWS_A_ROW if self._on_card else 1
        self._memory = torch_device.Memory(self._device) if self._on_card else None
        self._warming = Thread(target=self._warm_up) if self._on_card else None
        if self._warming:
            self._warming.start()

    @property
    def parts(self) -> dict[str, float]:
        return self._stopwatch.parts

    def batch_size(self, beams: int, tried: int = 0) -> int:
        if self._memory is None:
            return torch_device.CPU_BATCH
        room = self._memory.room()
        if tried:
            return torch_device.corrected(tried, self._memory.taken(), room, ROWS)
        self._memory.begin()
        config, itemsize = self._checkpoint.config, self._dtype.itemsize
        row = memory.of_row(config, itemsize, beams)
        row += self.windows_a_row * memory.of_window(config, itemsize)
        return torch_device.fitting(room, row, memory.of_encoder(config, itemsize), ROWS)

    def window(self, seconds: float) -> float:
        return self.context if seconds <= self.context else self.chunk

    @staticmethod
    def _frames_of(seconds: float) -> int:
        return round(seconds * SAMPLE_RATE / HOP)

    def features(self, waveforms: Sequence[Waveform]) -> torch.Tensor:
        """Features [windows, mels, frames], or on CUDA the padded waveforms [windows, samples].

        There the features are computed when the windows are encoded.
        """
        frames = self._frames_of(self.window(max(map(len, waveforms)) / SAMPLE_RATE))
        if not self._on_card:
            with self._stopwatch.part("features"):
                return torch.cat(
                    [self._log_mel(torch.from_numpy(one)[None], frames) for one in waveforms]
                )
        shape = len(waveforms), frames * HOP
        try:
            padded = torch.zeros(shape, pin_memory=True)
        except RuntimeError as e:
            if not self.out_of_memory(e):
                raise
            padded = torch.zeros(shape)
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = torch.from_numpy(waveform)
        try:
            return padded.to(self._device, non_blocking=True)
        except torch.OutOfMemoryError:  # a smaller part of the windows may find room
            return padded

    def longer_window(self, waveform: Waveform) -> None:
        """None: the checkpoint is cut to the length of its windows."""

    @torch.inference_mode()
    def encode(self, features: torch.Tensor, rows: int) -> torch.Tensor:
        """The hidden states [windows, positions, width], for any number of ``rows``."""
        if self._warming:
            self._warming.join()
            self._warming = None
        return self._encode(features)

    def _encode(self, features: torch.Tensor) -> torch.Tensor:
        if features.ndim == 2:
            with self._stopwatch.part("features"):
                frames = features.shape[1] // HOP
                parts = features.to(self._device).split(CUDA_FEATURES)
                features = torch.cat([self._log_mel(part, frames) for part in parts])
        with self._stopwatch.part("encoder"):
            positions = memory.ENCODED * self._checkpoint.config.max_source_positions
            if self._device.type == "cpu":
                positions = CPU_POSITIONS
            at_once = max(1, positions // (features.shape[2] // 2))
            parts = features.to(self._device, self._dtype).split(at_once)
            return torch.cat([self._encoder(part) for part in parts])

    def _warm_up(self) -> None:
        with suppress(Exception):  # the first batch will meet the problem as well, and report it
            self._first_window()

    @torch.inference_mode()
    def _first_window(self) -> None:
        """Have the device load its kernels, by a window of silence."""
        samples = round(self.chunk * SAMPLE_RATE)
        encoded = self._encode(torch.zeros(1, samples, device=self._device))
        prompt = [*self.vocabulary.start(None, "transcribe"), self.vocabulary.no_timestamps]
        self.decode(encoded, [prompt], Search(), [2], 1)
        self._stopwatch.parts.clear()

    def languages(self, encoded: torch.Tensor) -> list[dict[str, float]]:
        codes = list(self.vocabulary.languages)
        ids = list(self.vocabulary.languages.values())
        with self._stopwatch.part("decoder"):
            shares = self._loop.opening(encoded)[:, ids].softmax(-1).tolist()
        return [dict(zip(codes, row, strict=True)) for row in shares]

    def decode(
        self,
        encoded: torch.Tensor,
        prompts: list[list[int]],
        search: Search,
        limits: list[int],
        rows: int,
    ) -> list[Draft]:
        with self._stopwatch.part("decoder"):
            if search.beams > 1:
                return self._beams(encoded, prompts, search.beams, limits, rows)
            drafts: list[Draft] = self._loop.decode(encoded, prompts, search, limits, rows)
        return drafts

    def _beams(
        self,
        encoded: torch.Tensor,
        prompts: list[list[int]],
        beams: int,
        limits: list[int],
        rows: int,
    ) -> list[Draft]:
        decoded: list[tuple[list[int], float]] = []
        for first in range(0, len(encoded), rows):
            part = slice(first, first + rows)
            decoded += self._beam_search.decode(encoded[part], prompts[part], beams, limits[part])
        opening = self._loop.opening(encoded).softmax(-1)
        no_speech = opening[:, self.vocabulary.no_speech].tolist()
        return [
            Draft(tokens, mean, silent)
            for (tokens, mean), silent in zip(decoded, no_speech, strict=True)
        ]

    @cached_property
    def _beam_search(self) -> BeamSearch:
        """Imported where it is used alone: transformers takes seconds."""
        from speechkit.engines.asr.whisper.beam_search import BeamSearch

        return BeamSearch(self._checkpoint, self.vocabulary)

    @torch.inference_mode()
    def align(
        self,
        encoded: torch.Tensor,
        start: list[int],
        texts: list[list[int]],
        seconds: list[float],
    ) -> list[Alignment]:
        """Align by the attention of the checkpoint's alignment heads, as in whisper/timing.py."""
        alignments = [Alignment([0.0], [])] * len(texts)
        spoken = [row for row, text in enumerate(texts) if text]
        heads = len(self._checkpoint.generation.alignment_heads)
        at_once = min(ALIGNED, max(1, ALIGNED_HEADS // heads))
        with self._stopwatch.part("alignment"):
            for first in range(0, len(spoken), at_once):
                rows = spoken[first : first + at_once]
                found = self._align(
                    encoded[rows],
                    [*start, self.vocabulary.no_timestamps],
                    [texts[row] for row in rows],
                    [seconds[row] for row in rows],
                )
                for row, one in zip(rows, found, strict=True):
                    alignments[row] = one
        return alignments

    def _align(
        self,
        hidden: torch.Tensor,
        prompt: list[int],
        texts: list[list[int]],
        seconds: list[float],
    ) -> list[Alignment]:
        room = self.longest - len(prompt) - 1
        texts = [text[:room] for text in texts]
        longest = max(map(len, texts))
        if self._on_card:
            longest = min(room, math.ceil(longest / ALIGNED_TOKENS) * ALIGNED_TOKENS)
        ends = [[self.vocabulary.eot] * (1 + longest - len(text)) for text in texts]
        tokens = torch.tensor(
            [[*prompt, *text, *end] for text, end in zip(texts, ends, strict=True)],
            device=self._device,
        )
        heads = self._checkpoint.generation.alignment_heads
        weights, likely = self._layers.aligned(tokens, hidden, heads)
        before = len(prompt) - 1  # what predicts the first token of the text
        if self._device.type == "mps":
            weights = weights.cpu()
        counts = list(map(len, texts))
        return [
            Alignment(starts, shares[:count])
            for starts, shares, count in zip(
                alignment.starts(weights[:, :, before:], counts, seconds),
                likely[:, before:].exp().tolist(),
                counts,
                strict=True,
            )
        ]

    def out_of_memory(self, error: Exception) -> bool:
        return torch_device.out_of_memory(error)

    def free_memory(self) -> None:
        self._loop.free()
        torch_device.free_memory(self._device)
