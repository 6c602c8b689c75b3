"""Whisper on PyTorch, by transformers: any Hugging Face checkpoint, on CUDA, MPS or CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
    WhisperTokenizer,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging as transformers_logging

from speechkit.engines.asr.whisper.alignment import Attention, align
from speechkit.engines.asr.whisper.backend import Alignment, Draft, Search
from speechkit.engines.asr.whisper.decoder import Whisper
from speechkit.engines.asr.whisper.decoding_loop import DecodingLoop, until
from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.asr.whisper.vocabulary import Vocabulary
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.torch import device as torch_device
from speechkit.engines.torch.transformers_folder import own_alone

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

CPU_POSITIONS = 1500  # encoded at once on a CPU, whose caches a batch of windows would overflow
ENCODED = 16  # windows, on other devices; from 8 on, more gain nothing and take memory
FIRST_TIMESTAMP = 1.0  # seconds; no first segment begins later, if the checkpoint is silent


def whisper(options: WhisperOptions) -> Whisper:
    """The engine ``whisper``; ``options.model`` is a local folder."""
    return Whisper(TransformersBackend(options), options)


class TransformersBackend:
    """A `Backend` that generates with a configuration of its own.

    The checkpoint's forced tokens, languages and lengths are read once, so that they can't conflict
    later.
    """

    detects = True
    windows_a_row = 1

    def __init__(self, options: WhisperOptions) -> None:
        folder = options.model
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        self._device = torch_device.device(options.device, "whisper")
        self._dtype = torch_device.dtype(options.compute_type, self._device, "whisper")
        self.device = str(self._device)
        self.compute_type = torch_device.name(self._dtype)
        with own_alone(Path(folder)):
            loaded: Any = WhisperForConditionalGeneration.from_pretrained(
                folder,
                local_files_only=True,
                dtype=self._dtype,
                attn_implementation="sdpa",
                trust_remote_code=False,
            )
            self._extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
            tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = loaded.to(self._device).eval()
        defaults = self._model.generation_config
        self.vocabulary = Vocabulary(
            tokenizer.backend_tokenizer, getattr(defaults, "is_multilingual", None) is not False
        )
        config = self._model.config
        self.chunk = 2 * config.max_source_positions * self._extractor.hop_length / SAMPLE_RATE
        self.longest = config.max_target_positions
        self._heads = getattr(defaults, "alignment_heads", None) or [
            [layer, head]
            for layer in range(config.decoder_layers // 2, config.decoder_layers)
            for head in range(config.decoder_attention_heads)
        ]
        first = getattr(defaults, "max_initial_timestamp_index", None)
        self._generation: Any = GenerationConfig(
            max_length=self.longest,
            do_sample=False,
            pad_token_id=self.vocabulary.eot,
            eos_token_id=self.vocabulary.eot,
            bos_token_id=self.vocabulary.eot,
            decoder_start_token_id=self.vocabulary.sot,
            suppress_tokens=defaults.suppress_tokens or None,
            begin_suppress_tokens=defaults.begin_suppress_tokens or None,
            return_dict_in_generate=True,
            no_timestamps_token_id=self.vocabulary.no_timestamps,
            max_initial_timestamp_index=round(FIRST_TIMESTAMP / 0.02) if first is None else first,
        )
        self._model.generation_config = self._generation
        self._loop = DecodingLoop(self._model, self.vocabulary, self._generation)

    def batch_size(self, beams: int) -> int:
        """The number of windows, from the bytes of their encoder layers, caches and logits."""
        config = self._model.config
        width = self._dtype.itemsize * config.d_model
        caches = 2 * config.decoder_layers * (config.max_source_positions + self.longest)
        encoder = 16 * config.max_source_positions  # the layer at work: inputs, 4x wide, attention
        logits = 4 * 4 * config.vocab_size
        copies = 1 if beams == 1 else 1 + beams  # the loop's, and those of a search
        window = width * (encoder + caches * copies) + logits * beams
        return torch_device.batch_size(self._device, window)

    def features(self, waveforms: Sequence[Waveform]) -> torch.Tensor:
        extracted = self._extractor(
            list(waveforms),
            sampling_rate=SAMPLE_RATE,
            padding="max_length",
            max_length=round(self.chunk * SAMPLE_RATE),
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        features: torch.Tensor = extracted["input_features"]
        return features

    @torch.inference_mode()
    def encode(self, features: torch.Tensor) -> torch.Tensor:
        """The hidden states [windows, positions, width]."""
        positions = features.shape[2] // 2
        at_once = ENCODED
        if self._device.type == "cpu":
            at_once = max(1, CPU_POSITIONS // positions)
        parts = []
        for part in torch.split(features, at_once):
            moved = part.to(self._device, self._dtype)
            mask = moved.new_ones(moved.shape[0], moved.shape[2], dtype=torch.long)
            parts.append(self._model.model.encoder(moved, attention_mask=mask).last_hidden_state)
        return torch.cat(parts)

    def languages(self, encoded: torch.Tensor) -> list[dict[str, float]]:
        codes = list(self.vocabulary.languages)
        ids = list(self.vocabulary.languages.values())
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
        if search.beams == 1:
            drafts: list[Draft] = self._loop.decode(encoded, prompts, search, limits, rows)
            return drafts
        decoded: list[tuple[list[int], float]] = []
        for first in range(0, len(encoded), rows):
            part = slice(first, first + rows)
            decoded += self._beam_search(encoded[part], prompts[part], search, max(limits[part]))
        no_speech = self._loop.opening(encoded).softmax(-1)[:, self.vocabulary.no_speech].tolist()
        return [
            Draft(tokens, mean, silent)
            for (tokens, mean), silent in zip(decoded, no_speech, strict=True)
        ]

    @torch.inference_mode()
    def _beam_search(
        self, encoded: torch.Tensor, prompts: list[list[int]], search: Search, most: int
    ) -> list[tuple[list[int], float]]:
        """The tokens of each window without the end, and their mean log probability."""
        tokens = torch.tensor(prompts, device=self._device)
        start = tokens.shape[1]
        processors = LogitsProcessorList()
        if self.vocabulary.no_timestamps not in prompts[0]:
            processors.append(WhisperTimeStampLogitsProcessor(self._generation, begin_index=start))
        self._generation.max_length = min(self.longest, start + most)
        generated: Any = GenerationMixin.generate(
            self._model,
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=torch.ones(encoded.shape[:2], dtype=torch.long, device=self._device),
            decoder_input_ids=tokens,
            decoder_attention_mask=torch.ones_like(tokens),
            logits_processor=processors,
            num_beams=search.beams,
            output_scores=True,  # else there are none of the sequences either
        )
        rows = generated.sequences[:, start:].tolist()
        means = generated.sequences_scores.tolist()
        return [
            (until(row, self.vocabulary.eot), mean) for row, mean in zip(rows, means, strict=True)
        ]

    @torch.inference_mode()
    def align(
        self,
        encoded: torch.Tensor,
        start: list[int],
        texts: list[list[int]],
        seconds: list[float],
    ) -> list[Alignment]:
        """Align by the attention of the checkpoint's alignment heads, as in whisper/timing.py."""
        prompt = [*start, self.vocabulary.no_timestamps]
        longest = max(map(len, texts))
        room = self.longest - len(prompt) - 1
        rows = [
            [*prompt, *text[:room], *[self.vocabulary.eot] * (1 + longest - len(text))][
                : self.longest
            ]
            for text in texts
        ]
        tokens = torch.tensor(rows, device=self._device)
        self._model.set_attn_implementation("eager")  # the only one that returns its weights
        try:
            output = self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                decoder_input_ids=tokens,
                output_attentions=True,
                use_cache=False,
            )
        finally:
            self._model.set_attn_implementation("sdpa")
        heads = [output.cross_attentions[layer][:, head] for layer, head in self._heads]
        weights = torch.stack(heads, dim=1).float().cpu().numpy()
        likely = output.logits[:, len(prompt) - 1 : -1].float().softmax(-1)
        chosen = tokens[:, len(prompt) :, None]
        probabilities = likely.gather(2, chosen)[..., 0].cpu().numpy()
        spoken = [row for row, text in enumerate(texts) if text]
        alignments = [Alignment([0.0], [])] * len(texts)
        attention = [
            Attention(
                weights[row][:, len(prompt) - 1 :],
                probabilities[row],
                len(texts[row][:room]),
                seconds[row],
            )
            for row in spoken
        ]
        for row, alignment in zip(spoken, align(attention) if spoken else [], strict=True):
            alignments[row] = alignment
        return alignments

    def out_of_memory(self, error: Exception) -> bool:
        return torch_device.out_of_memory(error)

    def free_memory(self) -> None:
        self._loop.free()
        torch_device.free_memory(self._device)
