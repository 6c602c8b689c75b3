"""Word and character error rates of hypotheses against references.

Rates are errors over reference length, summed over utterances before dividing, as in NeMo and
NIST's sclite: with the normaliser ``none``, WER and CER are those of NeMo's ``word_error_rate``.
Words are separated by spaces; characters are code points (`normalise.characters`). In scripts
without spaces between words there are no words to count, so that CER is the figure to quote.

- A failed utterance (``error``) counts as an empty hypothesis: all its words are deletions.
- A record without ``text`` can't be scored; it is counted and named.
- An empty reference has no rate of its own. Its hypothesis counts as insertions in the total, as in
  NeMo and sclite, and is counted separately as well.
- A record with a reference but neither ``pred_text`` nor ``error`` was never transcribed. It is
  refused, because a rate with it or without it would be one that nothing measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from speechkit.errors import UsageError
from speechkit.io import manifest
from speechkit.records import Record
from speechkit.scoring.comparison import compare
from speechkit.scoring.normalise import characters, normaliser
from speechkit.scoring.results import EmptyReferences, Score, ScoreOptions
from speechkit.scoring.tallies import MAX_NAMES, DoubtTally, GroupTally, WorstUtterances

__all__ = ["Score", "ScoreOptions", "score"]

Emit = Callable[[Record], object]


def score(
    records: Iterable[Record], options: ScoreOptions | None = None, emit: Emit | None = None
) -> Score:
    """Compare ``text`` with ``pred_text`` in every record; stream, keeping only counts.

    ``emit`` is given every record in order, with the keys ``wer``, ``cer``, ``word_errors`` and
    ``char_errors`` added (null where it wasn't scored). Raise `UsageError` for a record that was
    never transcribed, and where no record has a reference.
    """
    options = options or ScoreOptions()
    total, groups = GroupTally(), dict[str, GroupTally]()
    worst = WorstUtterances(options.worst)
    empty = EmptyReferences()
    doubts = DoubtTally()
    unscored, names = 0, list[str]()
    for result in compare(records, normaliser(options.normaliser), characters(options.normaliser)):
        if emit is not None:
            emit(result.record())
        if not result.text.scored:
            unscored += 1
            names += [result.text.name] * (len(names) < MAX_NAMES)
            continue
        total.add(result)
        if options.by is not None:
            groups.setdefault(field_value(result.text.record, options.by), GroupTally()).add(result)
        if not result.words.reference:
            empty = empty.plus(result.words, result.chars)
        worst.offer(result)
        doubts.add(result.text.record, result.text.name)
    if not total.utterances:
        raise UsageError(
            f"{unscored} records, none with a reference: give them their `text`, for example with "
            "`speechkit manifest`, which finds references beside the audio"
            if unscored
            else "nothing to score: the input holds no records"
        )
    return Score(
        options=options,
        total=total.group(),
        groups={name: groups[name].group() for name in sorted(groups)},
        worst=worst.ranked(),
        empty_references=empty,
        doubts=doubts.doubts(),
        without_reference=unscored,
        without_reference_names=tuple(names),
    )


def field_value(record: Record, key: str) -> str:
    """The record's value of a key, or of a dotted path into nested objects, as a group's name."""
    value = manifest.value_at(record, key)
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
