"""The record of a transcript in OpenAI's formats."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from speechkit.formats import formats_of
from speechkit.records import Record
from speechkit.runtime.recordings import recording_of
from speechkit.serving.web.languages import LANGUAGES
from speechkit.serving.web.openai.parameters import Parameters

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
    return PlainTextResponse(
        formats_of("asr")[parameters.format].render([recording] if recording else [])
    )


def usage(record: Record) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(record["duration"])}


def verbose(record: Record, parameters: Parameters, *, translated: bool) -> dict[str, Any]:
    """OpenAI's verbose_json, and our doubts beside it: ``flags`` and ``gaps``."""
    language = "en" if translated else record.get("lang") or parameters.language or ""
    answer: dict[str, Any] = {
        "task": "translate" if translated else "transcribe",
        "language": LANGUAGES.get(language, language),
        "duration": record["duration"],
        "text": record["pred_text"],
    }
    if "segment" in parameters.granularities:
        answer["segments"] = [
            segment_json(number, segment, parameters.temperature)
            for number, segment in enumerate(record["segments"])
        ]
    if "word" in parameters.granularities:
        answer["words"] = [
            {key: word[key] for key in ("word", "start", "end")}
            for segment in record["segments"]
            for word in segment["words"]
        ]
    doubts = {key: record[key] for key in ("flags", "gaps") if record.get(key)}
    return {**answer, "usage": usage(record), **doubts}


def segment_json(number: int, segment: Mapping[str, Any], temperature: float) -> dict[str, Any]:
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
        "temperature": temperature,
        "avg_logprob": 0.0 if confidence is None else round(math.log(max(confidence, 1e-3)), 4),
        "compression_ratio": compression_ratio(text),
        "no_speech_prob": 0.0,
        **({"flags": segment["flags"]} if segment.get("flags") else {}),
    }


def compression_ratio(text: str) -> float:
    """As openai/whisper has it: bytes of the text over those of the compressed text."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 3)
