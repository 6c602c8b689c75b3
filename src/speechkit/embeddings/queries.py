"""Queries of a search: rows of the folder, or audio that the folder's own engine embeds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.embeddings.search import Query
from speechkit.errors import SpeechkitError, UsageError, UtteranceError
from speechkit.io import manifest, output_status
from speechkit.io.embedding_shards import INDEX, Embeddings
from speechkit.io.file_names import shown
from speechkit.io.inputs import utterance
from speechkit.runtime.stage import Processor
from speechkit.runtime.worker_plan import Hardware
from speechkit.stages.embed.stage import STAMPS, EmbedOptions, embed_stage
from speechkit.stages.embed.vectors import VECTORS, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

MOST_DIGITS = 12  # of the number of a row


def queries(embeddings: Embeddings, name: str, given: Sequence[str], device: str) -> list[Query]:
    """The query of each string: an ``id`` of the index, the number of a row, or an audio file.

    Raise `UsageError` for a string that is none of them or an id of several utterances, and for a
    row without a vector.
    """
    if not len(embeddings):
        raise UsageError(f"{shown(embeddings.folder)}: holds no utterance")
    ids: dict[str, list[int]] = {}
    for row, record in enumerate(embeddings.records):
        if record.get("id") is not None:
            ids.setdefault(str(record["id"]), []).append(row)
    rows = {text: _row(embeddings, ids, text) for text in given}
    files = [text for text, row in rows.items() if row is None]
    heard = dict(zip(files, _embedded(embeddings, name, files, device), strict=True))
    vectors = embeddings.vectors(name) if len(files) < len(rows) else None
    return [
        Query(text, heard[text] if row is None else _vector(vectors, row, text), row)
        for text, row in ((text, rows[text]) for text in given)
    ]


def _row(embeddings: Embeddings, ids: Mapping[str, list[int]], text: str) -> int | None:
    """The row that a query names; None for a file."""
    if text in ids:
        row, *others = ids[text]
        if others:
            raise UsageError(
                f"{shown(text)}: the id of {len(ids[text])} utterances, in the rows {row}, "
                f"{others[0]}{' …' * (len(others) > 1)}; name a row"
            )
        return row
    if text.isdecimal() and len(text) <= MOST_DIGITS and int(text) < len(embeddings):
        return int(text)
    if os.path.isfile(text):  # noqa: PTH113
        if manifest.manifest_suffix(text):
            raise UsageError(f"{shown(text)}: a manifest; a query is an audio file, an id or a row")
        return None
    raise UsageError(
        f"{shown(text)}: no id and no row of {shown(embeddings.folder)} (rows 0 to "
        f"{len(embeddings) - 1}), and no such file"
    )


def _vector(vectors: Any, row: int, text: str) -> Array:
    vector = np.asarray(vectors[row], np.float32)
    if not vector.size or not np.isfinite(vector).all():
        raise UsageError(f"{shown(text)}: row {row} has no vector, because its utterance failed")
    return vector


def _embedded(
    embeddings: Embeddings, name: str, files: Sequence[str], device: str
) -> Iterator[Array]:
    """The vector of each file, by the engine and the options that made the folder."""
    if not files:
        return
    processor = _processor(embeddings, device)
    processor.open()
    for file in files:
        record = {"audio_filepath": os.path.abspath(file)}  # noqa: PTH100
        try:
            loaded = processor.load(utterance(0, record))
            (made,) = processor.compute([loaded])
        except UtteranceError as e:
            made = e
        if isinstance(made, UtteranceError):
            raise UsageError(f"{shown(file)}: {made}") from made
        assert isinstance(made, Sequence)
        values = unpacked(made[0][VECTORS], "float32")
        if name not in values:
            raise UsageError(f"--vectors {name}: the engine makes {', '.join(values)}")
        yield np.frombuffer(values[name], "<f4")


def _processor(embeddings: Embeddings, device: str) -> Processor:
    """That of the stage that made the folder, as the record beside its index says."""
    index = embeddings.folder / INDEX
    try:
        options = dict(output_status.run_record(index)["options"])
        stamps = {name: options.pop(name) for name in STAMPS if name in options}
        own = {one.name for one in fields(EmbedOptions)} & options.keys()
        given = {name: options.pop(name) for name in own} | {"dtype": "float32"}
        made = EmbedOptions(**given, folder=str(embeddings.folder), engine_options=options)
        stage = embed_stage(made, Hardware(device=device, offline=True))
    except SpeechkitError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageError(
            f"{shown(embeddings.folder)}: nothing beside its index tells which engine made it, so "
            "that no audio can be compared with it; search by id or row"
        ) from e
    if stamps != {name: stage.options[name] for name in STAMPS if name in stage.options}:
        raise UsageError(
            f"{shown(embeddings.folder)}: its model or an adapter has changed since, so that no "
            "audio can be compared with it; search by id or row"
        )
    return stage.processor
