"""Beam search by transformers, on the weights of a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from speechkit.engines.asr.whisper.decoding_loop import before_end

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.checkpoint import Checkpoint
    from speechkit.engines.asr.whisper.vocabulary import Vocabulary


class _Limits(LogitsProcessor):
    """Each row ends at a position of its own, ``ends`` [rows], so that none waits for others."""

    def __init__(self, ends: torch.Tensor, eot: int) -> None:
        self._ends = ends
        self._eot = eot

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        full = self._ends <= input_ids.shape[1]
        scores = scores.masked_fill(full[:, None], -torch.inf)
        scores[full, self._eot] = 0.0
        return scores


class BeamSearch:
    def __init__(self, checkpoint: Checkpoint, vocabulary: Vocabulary) -> None:
        rules = checkpoint.generation
        ends = dict.fromkeys(("pad_token_id", "eos_token_id", "bos_token_id"), vocabulary.eot)
        start = {"decoder_start_token_id": vocabulary.sot}
        self._vocabulary = vocabulary
        self._never_first = list(rules.begin_suppress_tokens) or None
        self._longest = checkpoint.config.max_target_positions
        self._generation: Any = GenerationConfig(
            do_sample=False,
            suppress_tokens=list(rules.suppress_tokens) or None,
            return_dict_in_generate=True,
            output_scores=True,  # else there are none of the sequences either
            no_timestamps_token_id=vocabulary.no_timestamps,
            max_initial_timestamp_index=rules.max_initial_timestamp_index,
            **start,
            **ends,
        )
        config = WhisperConfig(**asdict(checkpoint.config), **start, **ends)
        config._attn_implementation = "sdpa"
        with torch.device("meta"):  # its weights are the checkpoint's
            model: Any = WhisperForConditionalGeneration(config)
        model.load_state_dict(checkpoint.weights, assign=True)
        model.generation_config = self._generation
        self._model = model.eval()

    @torch.inference_mode()
    def decode(
        self, hidden: torch.Tensor, prompts: list[list[int]], beams: int, limits: list[int]
    ) -> list[tuple[list[int], float]]:
        """As `DecodingLoop.decode`, the likeliest of ``beams`` hypotheses."""
        tokens = torch.tensor(prompts, device=hidden.device)
        start = tokens.shape[1]
        rules = LogitsProcessorList()
        if self._vocabulary.no_timestamps not in prompts[0]:
            rules.append(WhisperTimeStampLogitsProcessor(self._generation, begin_index=start))
        continues = self._vocabulary.text_at_end(prompts[0]) > 0
        self._generation.begin_suppress_tokens = None if continues else self._never_first
        ends = start + torch.tensor(limits, device=hidden.device).repeat_interleave(beams)
        rules.append(_Limits(ends, self._vocabulary.eot))
        self._generation.max_length = min(self._longest, start + max(limits) + 1)
        generated: Any = GenerationMixin.generate(
            self._model,
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            attention_mask=hidden.new_ones(hidden.shape[:2], dtype=torch.long),
            decoder_input_ids=tokens,
            decoder_attention_mask=torch.ones_like(tokens),
            logits_processor=rules,
            num_beams=beams,
        )
        rows = generated.sequences[:, start:].tolist()
        means = generated.sequences_scores.tolist()
        return [
            (before_end(row, self._vocabulary.eot), mean)
            for row, mean in zip(rows, means, strict=True)
        ]
