"""The work that an earlier run has left: utterances without a result, and parts of long ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from speechkit.io.checksums import file_stamp
from speechkit.io.journal import Journal
from speechkit.records import Utterance
from speechkit.runtime.divisions import Divisions, load
from speechkit.runtime.progress import Meter
from speechkit.runtime.stage import Stage

Batch = tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The work of a ``stage`` that the ``journal`` lacks. ``meter`` counts what it has; ``workers``
    share the rest."""

    stage: Stage
    journal: Journal
    divisions: Divisions
    meter: Meter
    workers: int

    def of(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch without its finished utterances, and utterances that have stalled alone.

        Batches are formed of all utterances, so that no result depends on which ones were finished.
        """
        left: list[Utterance] = []
        for utterance in batch:
            if self.journal.done(utterance.index):
                self.meter.skip(utterance.duration or 0.0)
            elif parts := self._parts(utterance):
                yield from self.stage.batches(parts, len(parts), self.workers)
            else:
                left.append(utterance)
        stalled = self.journal.stalled
        yield tuple(utterance for utterance in left if utterance.index not in stalled)
        yield from ((utterance,) for utterance in left if utterance.index in stalled)

    def _parts(self, utterance: Utterance) -> list[Utterance]:
        """The parts left of an utterance that an earlier run has divided, if its file is the same.

        The last part is computed again if a run was killed before it joined all of them.
        """
        found = self.journal.parts(utterance.index)
        if found is None:
            return []
        line, results = found
        with suppress(ValueError, OSError):
            division = load(line)
            if file_stamp(utterance.audio) == division.file:
                if len(results) == division.parts:
                    results.popitem()
                parts = self.divisions.begin(utterance, division, results)
                left = sum(part.duration or 0.0 for part in parts)
                self.meter.skip_part(division.edges[-1] - left)
                return parts
        return []
