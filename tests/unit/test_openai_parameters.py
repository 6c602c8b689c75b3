"""The parameters of OpenAI's API, as forms bring them."""

from __future__ import annotations

import pytest

from speechkit.serving.web.openai.parameters import parameters
from speechkit.serving.web.request_errors import RequestError
from speechkit.serving.web.uploads import Form


def form(**fields: str) -> Form:
    return Form({name: [value] for name, value in fields.items()})


def test_defaults() -> None:
    found = parameters(form(model="", language=""))
    assert (found.model, found.language, found.prompt) == (None, None, None)
    assert (found.format, found.granularities, found.temperature) == ("json", ("segment",), 0.0)
    assert not found.stream


def test_both_spellings_count_together() -> None:
    given = Form(
        {
            "response_format": ["verbose_json"],
            "timestamp_granularities[]": ["word", "segment"],
            "timestamp_granularities": ["word"],
        }
    )
    assert {*parameters(given).granularities} == {"word", "segment"}


@pytest.mark.parametrize("name", ["en", "EN", "English", " english "])
def test_a_language_has_a_code_or_a_name(name: str) -> None:
    assert parameters(form(language=name)).language == "en"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "nan"),
        ("temperature", "hot"),
        ("temperature", "-0.1"),
        ("stream", "yes"),
        ("response_format", "JSON"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(RequestError, match=f"^{name} '{value}': ") as error:
        parameters(form(**{name: value}))
    assert error.value.param == name
