"""Long utterances that are computed in parts, which all workers share."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise

from speechkit.errors import SpeechkitError
from speechkit.io import typed_json
from speechkit.io.manifest_checks import fault
from speechkit.records import Division, Part, Record, Utterance
from speechkit.runtime.batching import Batch
from speechkit.runtime.messages import Outcome, error_outcome, success_outcome
from speechkit.runtime.stage import Processor, Stage


@dataclass(slots=True)
class _Divided:
    utterance: Utterance
    division: Division
    results: dict[int, str] = field(default_factory=dict)  # of the parts done, by number


class Divisions:
    """The divided utterances of a stage that have no outcome, and the results of their parts."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._divided: dict[int, _Divided] = {}

    def stage_of(self, index: int) -> Stage:
        return self.stage

    def begin(
        self, utterance: Utterance, division: Division, results: Mapping[int, str] | None = None
    ) -> list[Utterance]:
        """Return the parts to compute; ``results`` of an earlier run are taken over."""
        divided = _Divided(utterance, division, dict(results or {}))
        self._divided[utterance.index] = divided
        return [
            _part(utterance, division, number)
            for number in range(division.parts)
            if number not in divided.results
        ]

    def wants(self, task: Utterance) -> bool:
        """Whether the task is still to be computed: no other part of its utterance has failed."""
        return task.part is None or task.index in self._divided

    def take(self, outcome: Outcome) -> Outcome | None:
        """Take the outcome of a part; return that of its utterance as soon as it is certain."""
        divided = self._divided.get(outcome.index)
        if divided is None or outcome.part is None:
            return None
        if outcome.error:
            del self._divided[outcome.index]
            return replace(outcome, part=None)
        divided.results[outcome.part] = outcome.lines[0]
        if len(divided.results) < divided.division.parts:
            return None
        del self._divided[outcome.index]
        return self._joined(divided)

    def fail(self, batch: Batch, error: SpeechkitError) -> SpeechkitError:
        """All have the same options, so an error of one batch ends the run."""
        return error

    def _joined(self, divided: _Divided) -> Outcome:
        results = [divided.results[number] for number in range(divided.division.parts)]
        try:
            records = joined(self.stage.processor, divided.utterance, divided.division, results)
            # The outcomes of the parts have the seconds.
            return success_outcome(divided.utterance, records, 0.0)
        except Exception as e:
            error = traceback.format_exc()
            return error_outcome(divided.utterance, e, self.stage.error_keys, error)


def joined(
    processor: Processor, utterance: Utterance, division: Division, results: Sequence[str]
) -> Sequence[Record]:
    """The records of an utterance from results of parts in JSON.

    Those of an earlier run may have been forged: any exception may be raised.
    """
    parsed = [typed_json.parse(result) for result in results]
    records = processor.join(utterance, division, parsed)
    for problem in filter(None, map(fault, records)):
        raise ValueError(f"the results of its parts don't fit together: {problem}")
    return records


def dump(division: Division) -> str:
    return json.dumps(asdict(division))


def load(line: str) -> Division:
    """The division that `dump` wrote. Raise ValueError for anything else."""
    fields = typed_json.parse(line)
    division = typed_json.to_dataclass(Division, fields)
    if division.parts < 2 or any(start >= end for start, end in pairwise(division.edges)):
        raise ValueError("no edges of parts")
    return division


def _part(utterance: Utterance, division: Division, number: int) -> Utterance:
    part = Part(division, number)
    offset = utterance.offset + division.edges[number]
    return replace(utterance, offset=offset, duration=part.seconds, part=part)
