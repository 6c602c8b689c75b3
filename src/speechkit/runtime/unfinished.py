"""The work that an earlier run has left: utterances without a result, and parts of long ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from speechkit.io.checksums import file_stamp
from speechkit.io.journal import Journal
from speechkit.records import Division, Utterance
from speechkit.runtime.batching import Batch
from speechkit.runtime.divisions import Divisions, joined, load
from speechkit.runtime.progress import Meter
from speechkit.runtime.stage import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The work of a ``stage`` that the ``journal`` lacks. ``meter`` counts what it has; ``workers``
    share the rest."""

    stage: Stage
    journal: Journal
    divisions: Divisions
    meter: Meter
    workers: int

    def left_of(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch without its finished utterances, and utterances that have stalled alone.

        Batches are formed of all utterances, so that no result depends on which ones were finished.
        """
        tasks = [task for utterance in batch for task in self._left_of_one(utterance)]
        stalled = [task for task in tasks if task.index in self.journal.stalled]
        steady = [task for task in tasks if task.index not in self.journal.stalled]
        parts = [task for task in steady if task.part]
        yield from self.stage.batches_of_parts(parts, self.workers)
        yield tuple(task for task in steady if not task.part)
        yield from ((task,) for task in stalled)

    def _left_of_one(self, utterance: Utterance) -> list[Utterance]:
        if self.journal.done(utterance.index):
            self.meter.skip(utterance.duration or 0.0)
            return []
        return self._parts(utterance) or [utterance]

    def _parts(self, utterance: Utterance) -> list[Utterance]:
        """The parts left of an utterance that an earlier run has divided, if its file is the same.

        The last part is computed again if a run was killed before it joined all of them.
        """
        found = self.journal.parts(utterance.index)
        if found is None:
            return []
        with suppress(ValueError, OSError):
            division = load(found[0])
            if file_stamp(utterance.audio) == division.file:
                results = self._valid(utterance, division, found[1])
                if len(results) == division.parts:
                    results.popitem()
                if not results:
                    return []
                parts = self.divisions.begin(utterance, division, results)
                left = sum(part.duration or 0.0 for part in parts)
                self.meter.skip_part(division.edges[-1] - left)
                return parts
        return []

    def _valid(
        self, utterance: Utterance, division: Division, results: Mapping[int, str]
    ) -> dict[int, str]:
        """The results that can be joined; the journal's checksums are easy to forge."""
        valid: dict[int, str] = {}
        for number, result in results.items():
            if number < division.parts:
                with suppress(Exception):
                    joined(self.stage.processor, utterance, division, [result])
                    valid[number] = result
        if len(valid) < len(results):
            log.warning("%s: results of parts that are not valid, computed again", utterance.audio)
        return valid
