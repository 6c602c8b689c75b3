"""The record of a transcript in OpenAI's formats."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from speechkit.records import Record
from speechkit.runtime.recordings import recording_of
from speechkit.serving.web.languages import LANGUAGES
from speechkit.serving.web.openai.parameters import Parameters
from speechkit.serving.web.transcripts import FORMATS

FRAMES = 100  # of Whisper's features, a second: the unit of ``seek``


def answer(record: Record, parameters: Parameters, *, translated: bool) -> Response:
    """The answer in the format that was asked for."""
    text = record["pred_text"]
    if parameters.format == "json":
        return JSONResponse({"text": text, "usage": usage(record)})
    if parameters.format == "text":
        return PlainTextResponse(f"{text}\n")
    if parameters.format == "verbose_json":
        return JSONResponse(verbose(record, parameters, translated=translated))
    recording = recording_of("audio", [record])
    form = FORMATS[parameters.format]
    return PlainTextResponse(form.render([recording] if recording else []))


def usage(record: Record) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(record["duration"])}


def verbose(record: Record, parameters: Parameters, *, translated: bool) -> dict[str, Any]:
    """OpenAI's verbose_json, and our doubts beside it: ``flags`` and ``gaps``."""
    language = "en" if translated else record.get("lang") or parameters.language or ""
    segments: Sequence[Mapping[str, Any]] = record["segments"]
    lists = {
        "segment": ("segments", [*map(partial(_segment, parameters), count(), segments)]),
        "word": ("words", [_word(word) for one in segments for word in one["words"]]),
    }
    return {
        "task": "translate" if translated else "transcribe",
        "language": LANGUAGES.get(language, language),
        "duration": record["duration"],
        "text": record["pred_text"],
        **dict(lists[granularity] for granularity in parameters.granularities),
        "usage": usage(record),
        **{key: record[key] for key in ("flags", "gaps") if record.get(key)},
    }


def _word(word: Mapping[str, Any]) -> dict[str, Any]:
    return {key: word[key] for key in ("word", "start", "end")}


def _segment(parameters: Parameters, number: int, segment: Mapping[str, Any]) -> dict[str, Any]:
    """A segment with OpenAI's keys.

    ``avg_logprob`` is the logarithm of the confidence; ``compression_ratio`` that of Whisper's
    own code. What no engine tells is empty: ``tokens``, and 0 for ``no_speech_prob``, and for
    ``avg_logprob`` where there is no confidence.
    """
    confidence = segment.get("confidence")
    text = segment["text"]
    return {
        "id": number,
        "seek": round(segment["start"] * FRAMES),
        "start": segment["start"],
        "end": segment["end"],
        "text": text,
        "tokens": [],
        "temperature": parameters.temperature,
        "avg_logprob": 0.0 if confidence is None else round(math.log(max(confidence, 1e-3)), 4),
        "compression_ratio": compression_ratio(text),
        "no_speech_prob": 0.0,
        **({"flags": segment["flags"]} if segment.get("flags") else {}),
    }


def compression_ratio(text: str) -> float:
    """As openai/whisper has it: bytes of the text over those of the compressed text."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 3)
