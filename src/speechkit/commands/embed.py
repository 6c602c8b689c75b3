from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from speechkit.commands.completion import model_names
from speechkit.commands.device_options import DeviceFlags
from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.options import (
    AudioFlags,
    EngineOption,
    InputsArgument,
    OutputOption,
    RunFlags,
    require_choice,
    takes,
    without,
)
from speechkit.engines import registry
from speechkit.errors import UsageError
from speechkit.io.embedding_shards import BYTES, SHARD_ROWS

DTYPES = tuple(BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingFlags:
    """The engine and its model, and the files of its vectors."""

    engine: Annotated[
        str,
        EngineOption(
            choices=registry.names("embed"),
            help="Engine: transformers (any audio encoder: wav2vec 2.0, HuBERT, WavLM, Whisper, "
            "AST), fairseq (its HuBERT) or speaker (who speaks, by Resemblyzer's weights).",
        ),
    ] = registry.default("embed")
    model: Annotated[
        str | None,
        EngineOption(
            metavar="PATH|ID",
            autocompletion=model_names,
            help="Model: a folder, a checkpoint of fairseq, or an id on the Hugging Face hub.",
        ),
    ] = None
    output_dir: Annotated[
        Path | None,
        OutputOption(
            metavar="DIR",
            help="Folder for the vectors (embeddings-00000.npy …) and their index.jsonl, a line an "
            "utterance with its shard and row. Run again with more input, it gains rows.",
        ),
    ] = None
    dtype: Annotated[str, OutputOption(choices=DTYPES, help="Type of the vectors.")] = "float32"
    shard_rows: Annotated[int, OutputOption(min=1, metavar="N", help="Vectors in a file.")] = (
        SHARD_ROWS
    )


@takes(
    embedding=EmbeddingFlags,
    audio=AudioFlags,
    run=without(RunFlags, "output"),
    engine_options=EngineGroup("embed"),
    device=DeviceFlags,
)
def embed(
    inputs: InputsArgument,
    *,
    embedding: EmbeddingFlags,
    audio: AudioFlags,
    engine_options: Mapping[str, Any],
    device: DeviceFlags,
    run: RunFlags,
) -> int:
    """Make a vector of each utterance, by any audio encoder.

    N utterances give N rows, in the order of the input; that of a failed utterance is NaN.

    Example: speechkit embed talks/ --engine speaker --output-dir vectors
    """
    from speechkit.commands.run_stage import run_stage
    from speechkit.stages.embed.stage import EmbedOptions, embed_stage

    if embedding.output_dir is None:
        raise UsageError("--output-dir: needed for the vectors and their index")
    options = EmbedOptions(
        folder=os.path.abspath(embedding.output_dir),  # noqa: PTH100
        engine=embedding.engine,
        model=embedding.model,
        dtype=require_choice(embedding.dtype, DTYPES, "--dtype"),
        shard_rows=embedding.shard_rows,
        channel=audio.channel,
        track=audio.track,
        engine_options=engine_options,
    )
    return run_stage(embed_stage(options, device.hardware()), inputs, run)
