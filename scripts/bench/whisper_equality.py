"""The tokens of the engine whisper against transformers' greedy `generate()`, in float32.

Each recording is a window, decoded alone and in a batch, in rows that others have
left. transformers computes features, encoder and decoder of its own, for windows as long as the
engine's. Where tokens differ, the difference of the logits of the two first ones is shown, as
transformers has it: a tie has some 1e-5.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchlib import DATA, MODELS, heading, parser
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from speechkit.engines import registry
from speechkit.engines.asr.whisper.backend import Search
from speechkit.engines.asr.whisper.temperature_fallback import max_tokens
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import audio

FOLDERS = ("librispeech", "asr")
SUFFIXES = {".flac", ".wav", ".mp3"}
ROWS = 6  # fewer than windows, so that each row has several of them
SEED = 5  # of the order in a batch


@dataclass(frozen=True)
class Said:
    """The tokens of a window, and the logits of each step."""

    tokens: list[int]
    logits: torch.Tensor


class Peer:
    """transformers' model and its greedy search, window by window of ``seconds``."""

    def __init__(self, folder: Path, vocabulary: Any, seconds: int) -> None:
        self._model: Any = WhisperForConditionalGeneration.from_pretrained(folder).eval()
        self._extractor = WhisperFeatureExtractor.from_pretrained(folder, chunk_length=seconds)
        encoder, positions = self._model.model.encoder, 50 * seconds
        self._model.config.max_source_positions = positions
        encoder.embed_positions = torch.nn.Embedding.from_pretrained(
            encoder.embed_positions.weight[:positions]
        )
        told = self._model.generation_config
        self._vocabulary = vocabulary
        self._generation: Any = GenerationConfig(
            suppress_tokens=told.suppress_tokens or None,
            begin_suppress_tokens=told.begin_suppress_tokens or None,
            return_dict_in_generate=True,
            output_scores=True,
            eos_token_id=vocabulary.eot,
            pad_token_id=vocabulary.eot,
            bos_token_id=vocabulary.eot,
            decoder_start_token_id=vocabulary.sot,
            no_timestamps_token_id=vocabulary.no_timestamps,
            max_initial_timestamp_index=getattr(told, "max_initial_timestamp_index", None) or 50,
        )
        self._model.generation_config = self._generation

    def encode(self, waveform: Any) -> torch.Tensor:
        features = self._extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        hidden: torch.Tensor = self._model.model.encoder(features.input_features)[0]
        return hidden

    def decode(self, hidden: torch.Tensor, prompt: list[int], most: int) -> Said:
        rules = LogitsProcessorList()
        if self._vocabulary.no_timestamps not in prompt:
            rules.append(WhisperTimeStampLogitsProcessor(self._generation, begin_index=len(prompt)))
        longest = self._model.config.max_target_positions
        self._generation.max_length = min(longest, len(prompt) + most)
        made: Any = GenerationMixin.generate(
            self._model,
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            decoder_input_ids=torch.tensor([prompt]),
            logits_processor=rules,
        )
        tokens = made.sequences[0, len(prompt) :].tolist()
        end = self._vocabulary.eot
        said = tokens[: tokens.index(end)] if end in tokens else tokens
        return Said(said, torch.cat(made.scores))

    def tie(self, said: Said, found: list[int]) -> str:
        """Where tokens that were found differ first, and how much likelier is what was said."""
        end = self._vocabulary.eot
        one, other = [*said.tokens, end], [*found, end]
        place = next(i for i, pair in enumerate(zip(one, other, strict=False)) if len({*pair}) > 1)
        logits = said.logits[place]
        return f"token {place}, logits apart {float(logits[one[place]] - logits[other[place]]):.1e}"


def recordings(data: Path) -> list[Path]:
    files = (file for folder in FOLDERS for file in (data / folder).iterdir())
    return sorted(file for file in files if file.suffix in SUFFIXES)


@torch.inference_mode()
def compare(name: str, files: list[Path]) -> Iterator[str]:
    """Rows of the table, and the differences after each."""
    folder = MODELS / f"{name}-hf"
    options = {"model": str(folder), "device": "cpu", "compute_type": "float32"}
    backend = registry.create("asr", "whisper", **options)._backend  # type: ignore[attr-defined]
    longest = round(backend.chunk * SAMPLE_RATE)
    heard = [audio.load(str(file), sample_rate=SAMPLE_RATE).waveform[:longest] for file in files]
    limits = [max_tokens(len(one) / SAMPLE_RATE) for one in heard]
    peer = Peer(folder, backend.vocabulary, round(backend.chunk))
    theirs = [peer.encode(one) for one in heard]
    ours = torch.cat([backend.encode(backend.features([one]), 1) for one in heard])
    order = random.Random(SEED).sample(range(len(heard)), len(heard))
    start = backend.vocabulary.start("en", "transcribe")
    for kind, prompt in (
        ("no", [*start, backend.vocabulary.no_timestamps]),
        ("yes", start),
    ):
        said = [
            peer.decode(*given, limit)
            for *given, limit in (
                (hidden, prompt, limit) for hidden, limit in zip(theirs, limits, strict=True)
            )
        ]
        alone = [
            backend.decode(ours[[row]], [prompt], Search(), [limit], 1)[0].tokens
            for row, limit in enumerate(limits)
        ]
        together = backend.decode(
            ours[order], [prompt] * len(order), Search(), [limits[row] for row in order], ROWS
        )
        batched = [together[order.index(row)].tokens for row in range(len(order))]
        equal = [
            sum(one == other.tokens for one, other in zip(tokens, said, strict=True))
            for tokens in (alone, batched)
        ]
        count = sum(len(one.tokens) for one in said)
        yield f"| {name} | {kind} | {len(said)} | {count} | {equal[0]} | {equal[1]} |"
        for way, tokens in (("alone", alone), ("in a batch", batched)):
            for file, one, other in zip(files, tokens, said, strict=True):
                if one != other.tokens:
                    yield f"  {file.name} {way}: {peer.tie(other, one)}"


def main() -> None:
    options = parser(__doc__, data=DATA)
    options.add_argument("--models", nargs="+", default=["base", "tiny.en"])
    options.add_argument("--limit", type=int, help="number of recordings")
    given = options.parse_args()
    heading("torch", "transformers")
    print("| model | timestamps | windows | tokens | equal alone | equal in a batch |")
    print("|---|---|---|---|---|---|", flush=True)
    began = time.process_time()
    for name in given.models:
        for line in compare(name, recordings(given.data)[: given.limit]):
            print(line, flush=True)
    print(f"{time.process_time() - began:.0f} s of CPU time")


if __name__ == "__main__":
    main()
