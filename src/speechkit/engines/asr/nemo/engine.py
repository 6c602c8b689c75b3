"""NeMo's models: CTC, transducers (RNN-T, TDT), hybrids, and attention decoders such as Canary.

A model gets mono waveforms of a safe length, and never a file of the user's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from speechkit.engines.asr.nemo import NemoOptions, checkpoint, live, prompts, timestamps
from speechkit.engines.asr.nemo.forward import Forward
from speechkit.engines.asr.nemo.transcribe import Transcribe
from speechkit.engines.padded_batches import PaddedBatches
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, DeviceUse
from speechkit.engines.torch import device as torch_device
from speechkit.records import Hypothesis

if TYPE_CHECKING:
    from speechkit.engines.protocols import Clip, LiveDecoder, Waveform

# Shorter windows are padded with silence.
LEAST = 0.02  # seconds; below two frames NeMo's normalisation fails
LEAST_ATTENDED = 1.0  # seconds, for attention decoders, as in NeMo itself
MOST_WINDOWS = 512  # in a batch of short ones, on a GPU


class Nemo(AsrEngine):
    """An AsrEngine."""

    least_window = 0.0

    def __init__(self, options: NemoOptions) -> None:
        self.max_window = options.max_window
        self._device = torch_device.device(options.device, "nemo")
        self._dtype = torch_device.dtype(options.compute_type, self._device, "nemo")
        self._model = checkpoint.restore(Path(options.model), self._device)
        prompts.require_known(self._model, options.language, options.dataloader)
        self._attends = prompts.is_attention_decoder(self._model)
        self._rate = checkpoint.sample_rate(self._model)
        self._language = options.language
        asked = options.words or options.chars
        self._timestamps = asked or (options.timestamps and not self._attends)
        checkpoint.set_decoding(
            self._model, timestamps=self._timestamps, cuda_graphs=options.cuda_graphs
        )
        if options.local_attention:
            checkpoint.attend_locally(self._model, options.local_attention)
        self._recognise = self._recogniser(options)
        self._batches = self._padded_batches(options)
        self._seconds = 0.0

    def device_use(self) -> DeviceUse:
        return DeviceUse(
            str(self._device),
            torch_device.name(self._dtype),
            self._batches.size,
            self._seconds,
            parts=getattr(self._recognise, "parts", {}),
        )

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        for group in self._groups(utterances):
            began = time.monotonic()
            windows = [self._prepared(clip.waveform) for clips in group for clip in clips]
            lengths = [len(window) for window in windows]
            outputs = iter(list(self._batches.map(windows, lengths, self._recognise)))
            self._seconds += time.monotonic() - began
            for clips in group:
                yield [self._hypothesis(next(outputs), clip) for clip in clips]

    def live(self) -> LiveDecoder | None:
        """One that computes new audio alone, where the encoder is cache-aware."""
        is_direct = isinstance(self._recognise, Forward) and self._timestamps
        if is_direct and live.is_cache_aware(self._model):
            return live.CacheAwareDecoder(self._model, self._language, self.max_window)
        return None

    def _groups(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Sequence[Clip]]]:
        """The utterances that fill a batch, or one that fills several."""
        group: list[Sequence[Clip]] = []
        windows, longest = 0, 0.0
        for clips in utterances:
            group.append(clips)
            windows += len(clips)
            longest = max(longest, *(clip.seconds for clip in clips)) if clips else longest
            if self._batches.is_full(windows, round(longest * self._rate)):
                yield group
                group, windows, longest = [], 0, 0.0
        if group:
            yield group

    def _hypothesis(self, output: Any, clip: Clip) -> Hypothesis:
        stride = checkpoint.seconds_a_frame(self._model) if self._timestamps else None
        return timestamps.hypothesis(output, clip.seconds, stride, self._language)

    def _recogniser(self, options: NemoOptions) -> Forward | Transcribe:
        if options.dataloader == "direct" and not self._attends:
            checkpoint.lower(self._model, self._dtype)
            frames = math.ceil(self.max_window / checkpoint.seconds_a_frame(self._model)) + 1
            return Forward(self._model, options.language, frames)
        return Transcribe(
            self._model,
            options.language,
            self._dtype,
            dataloader=options.dataloader,
            timestamps=self._timestamps,
        )

    def _padded_batches(self, options: NemoOptions) -> PaddedBatches:
        """By the number of windows asked for, or by memory: as many full ones, and more shorter."""
        windows = options.batch_size
        full = windows or self._full_windows(options.local_attention)
        if not windows:
            windows = MOST_WINDOWS if self._device.type == "cuda" else full
        return PaddedBatches(
            windows,
            round(full * max(self.max_window, LEAST_ATTENDED) * self._rate),
            torch_device.out_of_memory,
            lambda: torch_device.free_memory(self._device),
        )

    def _prepared(self, window: Waveform) -> Waveform:
        """The window at the model's sample rate, padded if too short."""
        if self._rate != SAMPLE_RATE:
            window = soxr.resample(window, SAMPLE_RATE, self._rate)
        least = LEAST_ATTENDED if self._attends else LEAST
        window = np.pad(window, (0, max(0, round(least * self._rate) - len(window))))
        return np.ascontiguousarray(window, dtype=np.float32)

    def _full_windows(self, local_attention: int) -> int:
        """How many fit at once, from the bytes of one at the encoder's widest layer."""
        encoder = self._model.cfg.encoder
        frames = self.max_window / checkpoint.seconds_a_frame(self._model)
        width = int(encoder.get("d_model", 512))
        attended = min(frames, 2 * local_attention or frames)
        layer = frames * 32 * width + 3 * int(encoder.get("n_heads", 8)) * frames * attended
        channels = int(encoder.get("subsampling_conv_channels", -1))
        mels = int(encoder.get("feat_in", 80))
        # The first convolution halves the mel frames, of which there are 100 a second, and bands.
        entry = 2 * (width if channels < 0 else channels) * (50 * self.max_window) * (mels / 2)
        return torch_device.batch_size(self._device, int(4 * max(layer, entry)))
