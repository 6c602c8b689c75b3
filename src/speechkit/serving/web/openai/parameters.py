"""The parameters of a transcription, as OpenAI's reference has them.

https://platform.openai.com/docs/api-reference/audio/createTranscription. Parameters that it has and
that mean nothing to these engines are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.serving.web.languages import LANGUAGES
from speechkit.serving.web.request_errors import RequestError
from speechkit.serving.web.uploads import Form

FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
STREAMED = ("json", "text")
GRANULARITIES = ("segment", "word")
CODES = {name: code for code, name in LANGUAGES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """``temperature``: 0 for the engine's own, which rises where a text is doubtful.

    ``granularities``: what verbose_json lists.
    """

    model: str | None
    language: str | None
    prompt: str | None
    temperature: float
    format: str
    granularities: tuple[str, ...]
    stream: bool


def parameters(form: Form) -> Parameters:
    """The parameters in a form. Raises `RequestError` with the one that is wrong."""
    form_name = "timestamp_granularities"
    granularities = (*form.texts(form_name), *form.texts(f"{form_name}[]"))
    found = Parameters(
        model=form.text("model"),
        language=_language(form.text("language")),
        prompt=form.text("prompt"),
        temperature=_temperature(form.text("temperature") or "0"),
        format=form.text("response_format") or "json",
        granularities=granularities or ("segment",),
        stream=_switch("stream", form.text("stream") or "false"),
    )
    _require("response_format", found.format, FORMATS)
    for granularity in granularities:
        _require(form_name, granularity, GRANULARITIES)
    if granularities and found.format != "verbose_json":
        raise RequestError(
            "timestamp_granularities needs response_format verbose_json", param=form_name
        )
    if found.stream and found.format not in STREAMED:
        raise RequestError(
            f"stream gives text alone; response_format is one of {', '.join(STREAMED)} there",
            param="response_format",
        )
    return found


def _require(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RequestError(f"{name} {value!r}: there are {', '.join(choices)}", param=name)


def _language(text: str | None) -> str | None:
    """A code, also where the name is given."""
    if text is None:
        return None
    code = CODES.get(text.strip().lower(), text.strip().lower())
    if code not in LANGUAGES:
        raise RequestError(
            f"language {text!r}: give a code of ISO 639-1, such as en, or leave it out",
            param="language",
        )
    return code


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise RequestError(f"temperature {text!r}: a number from 0 to 1", param="temperature")
    return value


def _switch(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise RequestError(f"{name} {text!r}: true or false", param=name)
    return text.lower() == "true"
