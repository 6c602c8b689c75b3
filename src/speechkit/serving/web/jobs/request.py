"""What a user of the server asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speechkit.engines import registry
from speechkit.errors import UsageError
from speechkit.stages.asr.stage import AsrOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """How recordings are to be transcribed.

    ``model``: a name; None for the engine's own. ``language``: a code; None to detect it.
    ``prompt``: text that could precede the recordings. ``temperature``: 0 or None for the engine's
    own, which rises where a text is doubtful, as OpenAI has it. ``translate``: into English.
    ``words``: with the times of words. ``origin``: "page" or "api".
    """

    engine: str
    model: str | None = None
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    words: bool = True
    translate: bool = False
    origin: str = "api"

    def options(self) -> AsrOptions:
        """The options of the asr stage that give the same results."""
        given = {option: value for option, value in self._given().values() if value is not None}
        return AsrOptions(
            engine=self.engine, model=self.model, words=self.words, engine_options=given
        )

    def check(self) -> None:
        """Raise `UsageError` for what the engine doesn't take, `EngineMissing` for a broken one."""
        info = registry.find("asr", self.engine)
        for name, (option, value) in self._given().items():
            if value is not None and not info.takes(option):
                raise UsageError(f"{name}: the engine {self.engine} takes none; leave it out")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise UsageError("temperature: a number from 0 to 2")

    def _given(self) -> Mapping[str, tuple[str, Any]]:
        """The engine's option for each of the user's, and its value; None to leave it out."""
        return {
            "language": ("language", self.language or None),
            "prompt": ("initial_prompt", self.prompt or None),
            "temperature": ("temperature", (self.temperature,) if self.temperature else None),
            "translate": ("task", "translate" if self.translate else None),
        }
