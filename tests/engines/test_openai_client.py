"""OpenAI's own client, as it is, against a server with real models."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audiokit import EXAMPLES, repeated_story
from runkit import records, until
from serverkit import Served

if TYPE_CHECKING:
    from openai import OpenAI

pytestmark = pytest.mark.slow

GERMAN = EXAMPLES.parent / "languages" / "de.flac"
COFFEE = EXAMPLES / "slt" / "coffee.flac"
DIGITS = sorted((EXAMPLES.parent / "digits").glob("*-even.flac"))


@pytest.fixture(scope="module")
def served(
    english_whispers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("openai") / "data"
    with Served(data, "--model", english_whispers["faster-whisper"]) as server:
        yield server


@pytest.fixture(scope="module")
def client(served: Served) -> OpenAI:
    from openai import OpenAI

    return OpenAI(base_url=f"{served.url}v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def record(
    speechkit: Callable[..., Any],
    english_whispers: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What the command line makes of the speech."""
    model = english_whispers["faster-whisper"]
    done = speechkit("asr", COFFEE, "--model", model, "--words")
    return records(done.out)[0]


def transcribe(client: OpenAI, path: Path = COFFEE, **options: Any) -> Any:
    with open(path, "rb") as file:
        return client.audio.transcriptions.create(file=file, **{"model": "whisper-1", **options})


def test_text_in_every_format_is_that_of_the_command_line(
    client: OpenAI, record: dict[str, Any], speechkit: Callable[..., Any]
) -> None:
    from openai.types.audio import Transcription

    text = record["pred_text"]
    answer = transcribe(client)
    assert answer == Transcription.model_validate(answer.model_dump(), strict=True)
    assert answer.text == text
    assert answer.usage.seconds == 5
    assert transcribe(client, response_format="text") == f"{text}\n"
    line = json.dumps(record).encode()
    for name in ("srt", "vtt"):
        exported = speechkit("export", "-", "--format", name, stdin=line).out.decode()
        assert transcribe(client, response_format=name) == exported


def test_verbose_json_has_what_the_record_has(
    served: Served, client: OpenAI, record: dict[str, Any]
) -> None:
    from openai.types.audio import TranscriptionVerbose

    both: Any = ["word", "segment"]
    answer = transcribe(client, response_format="verbose_json", timestamp_granularities=both)
    assert answer == TranscriptionVerbose.model_validate(answer.model_dump(), strict=True)
    assert (answer.text, answer.language) == (record["pred_text"], "english")
    assert (answer.duration, answer.task) == (record["duration"], "transcribe")
    keys = ("start", "end", "text")
    assert [[getattr(one, key) for key in keys] for one in answer.segments] == [
        [one[key] for key in keys] for one in record["segments"]
    ]
    first = answer.segments[0]
    assert (first.id, first.temperature) == (0, 0.0)
    assert -1.0 < first.avg_logprob < 0.0
    assert 0.5 < first.compression_ratio < 2.4
    words = [word for segment in record["segments"] for word in segment["words"]]
    assert [word.to_dict() for word in answer.words] == [
        {key: word[key] for key in ("word", "start", "end")} for word in words
    ]
    form = {"response_format": "verbose_json", "timestamp_granularities": "word"}  # no brackets
    with open(COFFEE, "rb") as file:
        plain = served.client.post("v1/audio/transcriptions", data=form, files={"file": file})
    assert plain.json()["words"] == [word.to_dict() for word in answer.words]
    assert "segments" not in plain.json()


def test_deltas_make_up_the_text(client: OpenAI, record: dict[str, Any]) -> None:
    *deltas, done = transcribe(client, stream=True, response_format="text")
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas) == done.text == record["pred_text"]


def test_other_models_and_translations(client: OpenAI) -> None:
    from openai.types.audio import TranslationVerbose

    ids = [model.id for model in client.models.list()]
    assert ids[:2] == ["tiny.en", "base"]
    assert client.models.retrieve("base").owned_by == "faster-whisper"
    with open(GERMAN, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        answer = client.audio.translations.create(
            file=file, model="base", response_format="verbose_json"
        )
    assert answer == TranslationVerbose.model_validate(answer.model_dump(), strict=True)
    assert answer.language == "english"
    assert "weather" in answer.text


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"model": "nope"}, "NotFoundError", "no model 'nope'"),
        ({"model": "../base"}, "NotFoundError", "no model '../base'"),
        ({"model": "large-v3"}, "NotFoundError", "model large-v3 is not on this server yet"),
        ({"file": ("talk.mp3", b"This is text.")}, None, "talk.mp3: not audio that can be"),
        ({"file": ("../talk.mp3", b"")}, None, "talk.mp3: the file is empty"),
        ({"file": ("talk.flac", COFFEE.read_bytes()[:9000])}, None, "talk.flac: 4.76 s expected"),
        ({"language": "tlh"}, None, "language 'tlh': give a code"),
        ({"language": "de"}, None, "language de: this checkpoint is English-only"),
        ({"response_format": "docx"}, None, "response_format 'docx': there are json,"),
        ({"temperature": 1.5}, None, "temperature '1.5': a number from 0 to 1"),
        ({"timestamp_granularities": ["word"]}, None, "timestamp_granularities needs"),
        ({"stream": True, "response_format": "srt"}, None, "stream gives text alone"),
        ({"stream": True, "file": ("talk.mp3", b"text")}, None, "talk.mp3: not audio that can"),
    ],
)
def test_a_bad_request_is_an_error_with_a_sentence(
    client: OpenAI, change: dict[str, Any], kind: str | None, message: str
) -> None:
    import openai

    raised = getattr(openai, kind or "BadRequestError")
    with open(DIGITS[0], "rb") as file, pytest.raises(raised) as error:
        client.audio.transcriptions.create(**{"file": file, "model": "whisper-1", **change})
    body = error.value.body
    assert isinstance(body, dict)
    assert body["message"].startswith(message)
    assert (body["type"], body["code"]) == (
        "invalid_request_error",
        "model_not_found" if kind else None,
    )


def test_answers_of_many_at_once_are_not_swapped(served: Served) -> None:
    speech = [EXAMPLES / "awb" / f"{name}.flac" for name in ("winter", "train")]

    async def texts() -> list[str]:
        from openai import AsyncOpenAI

        async with AsyncOpenAI(base_url=f"{served.url}v1", api_key="none") as client:
            calls = client.audio.transcriptions
            answers = (calls.create(file=path, model="whisper-1") for path in speech)
            return [answer.text for answer in await asyncio.gather(*answers)]

    spoken = [path.with_suffix(".txt").read_text() for path in speech]
    for text, own in zip(asyncio.run(texts()), spoken, strict=True):
        assert max(spoken, key=lambda one: len({*one.split()} & {*text.split()})) == own


def test_nothing_stays_of_what_was_answered(served: Served, client: OpenAI, tmp_path: Path) -> None:
    from openai import APITimeoutError

    prompted = transcribe(client, DIGITS[0], language="en", prompt="one, two", temperature=0.2)
    assert prompted.text
    until(lambda: not list((served.data / "jobs").iterdir()))
    gone = client.with_options(timeout=0.3)
    with pytest.raises(APITimeoutError):
        transcribe(gone, repeated_story(tmp_path / "long.wav", 5))
    until(lambda: not list((served.data / "jobs").iterdir()))
    assert served.err == ""
