"""The closing account of a run."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechkit.engines.protocols import DeviceUse
from speechkit.io import typed_json
from speechkit.io.result_lines import error_type, flags_of
from speechkit.records import Record
from speechkit.runtime.export import Written
from speechkit.runtime.verdicts import Verdicts
from speechkit.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The closing account of a run. Times and audio in seconds, memory in bytes.

    ``done`` utterances were computed by this run, ``resumed`` by an earlier one; ``failed`` of both
    have an error. ``first_result_seconds``: from the start of the run to the first of those done,
    None without any. ``flags``: number of flagged utterances of both, by flag. ``device``: its
    name, its smallest batch size, the ``share`` of the run's time in which the engine was at work
    (mean of all workers, 0 to 1), and the shares of their time in what they ``waited_for``.
    ``written``: text files beside the output, None without formats. ``verdicts``: what a stage that
    judges utterances has found, as `Verdicts.to_json` has it; None for another stage.
    """

    stage: str
    output: str | None
    utterances: int
    done: int
    resumed: int
    failed: int
    errors: dict[str, int]
    flags: dict[str, int]
    audio_seconds: float
    wall_seconds: float
    first_result_seconds: float | None
    real_time_factor: float | None
    peak_memory: int
    workers: int
    device: dict[str, Any] | None
    options: dict[str, Any]
    versions: dict[str, str]
    written: Written | None = None
    verdicts: dict[str, Any] | None = None

    @property
    def invalid(self) -> int:
        """The number of utterances that are not valid; 0 for a stage that doesn't judge."""
        return int(self.verdicts["invalid"]) if self.verdicts else 0

    @property
    def exit_code(self) -> int:
        lost = self.written and self.written.failures
        return 3 if self.failed or self.invalid or lost else 0

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        del fields["written"]
        verdicts = fields.pop("verdicts") or {}
        return {**fields, **verdicts, "exit_code": self.exit_code}


class Tally:
    """Counts of failed utterances by type of error, and of flagged utterances by flag.

    ``verdicts``: of a stage that judges utterances, otherwise None.
    """

    def __init__(self, *, judges: bool = False) -> None:
        self.errors: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.verdicts = Verdicts() if judges else None

    def count(self, lines: Iterable[bytes]) -> None:
        """Count the lines of one utterance."""
        self.errors.update({kind for kind in map(error_type, lines) if kind})
        self.flags.update({flag for line in lines for flag in flags_of(line)})
        self.judge(map(typed_json.parse, lines))

    def judge(self, records: Iterable[Record]) -> None:
        """Count the verdicts of records, if their stage judges."""
        if self.verdicts:
            for record in records:
                self.verdicts.count(record)

    def update(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        self.errors.update(counts["errors"])
        self.flags.update(counts.get("flags", {}))

    def to_json(self) -> dict[str, dict[str, int]]:
        return {
            "errors": dict(sorted(self.errors.items())),
            "flags": dict(sorted(self.flags.items())),
        }


def device_account(uses: Sequence[DeviceUse], wall_seconds: float) -> dict[str, Any] | None:
    """The device of a run, from the device use of its workers; None if none was used."""
    if not uses:
        return None
    seconds = sum(use.seconds for use in uses)
    reinitialised = sorted({name for use in uses for name in use.reinitialised})
    return {
        "name": uses[0].device,
        "compute_type": uses[0].compute_type,
        "batch_size": min(use.batch_size for use in uses),
        "seconds": round(seconds, 3),
        "share": round(seconds / wall_seconds / len(uses), 4),
        "waited_for": waiting_shares(use.parts for use in uses),
        **({"reinitialised": reinitialised} if reinitialised else {}),
        **({"one_by_one": True} if any(use.one_by_one for use in uses) else {}),
    }


def waiting_shares(workers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The shares, which add up to 1, of the parts in the time of all workers, the largest first."""
    seconds: Counter[str] = Counter()
    for parts in workers:
        seconds.update(parts)
    total = sum(seconds.values())
    return {part: round(value / total, 4) for part, value in seconds.most_common()} if total else {}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of speechkit, Python and these distributions."""
    ours = {"speechkit": __version__, "python": platform.python_version()}
    return ours | {name: importlib.metadata.version(name) for name in packages}
