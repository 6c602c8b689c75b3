"""The identity of a run, which must agree before a run may continue another one's results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT = 1  # of the part file; another number is another format


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The stage, options and input of a run. Runs with equal identities can continue each other.

    ``input`` is the fingerprint of the input; ``written`` is its fingerprint with relative paths as
    they are written, so that a folder may be moved with everything in it.
    """

    stage: str
    options: Mapping[str, Any]
    input: str
    utterances: int
    written: str = ""

    def header(self) -> dict[str, Any]:
        return {
            "speechkit_part": FORMAT,
            "stage": self.stage,
            "input": self.input,
            "written": self.written or self.input,
            "utterances": self.utterances,
            "options": dict(self.options),
        }

    def difference(self, header: Mapping[str, Any], *, grows: bool = False) -> str | None:
        """The difference from the header of an earlier run, as a phrase; None if there is none.

        ``grows``: an earlier run over fewer utterances is none; whether they are the first ones of
        the input is for the caller to see.

        Raise ValueError for anything but such a header.
        """
        if not isinstance(header, Mapping) or not isinstance(header.get("options"), Mapping):
            raise ValueError("not the header of a run")
        current = json.loads(json.dumps(self.header()))
        for key, label in (("speechkit_part", "format"), ("stage", "stage")):
            if header.get(key) != current[key]:
                return f"{label} {header.get(key)}, now {current[key]}"
        if not self._is_of_input(header, grows=grows):
            return "another input"
        before, now = _flat(header["options"]), _flat(current["options"])
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return ", ".join(f"{key} {before.get(key)}, now {now.get(key)}" for key in changed) or None

    def _is_of_input(self, header: Mapping[str, Any], *, grows: bool) -> bool:
        earlier = header.get("utterances")
        if grows and type(earlier) is int and earlier < self.utterances:
            return True
        fingerprint = "written" if "written" in header else "input"
        current = self.header()
        return all(header.get(key) == current[key] for key in (fingerprint, "utterances"))


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with groups replaced by their members."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        flat.update(_flat(value) if isinstance(value, Mapping) else {key: value})
    return flat
