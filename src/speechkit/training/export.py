"""The best model for another engine, with a proof that both engines hear the same."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from speechkit.io import manifest
from speechkit.io.atomic import output_errors, sync_file, sync_folder
from speechkit.training.evaluation import ENGINE, Evaluator
from speechkit.training.rates import Rates
from speechkit.training.requirements import EXPORT_ENGINE

OTHER = EXPORT_ENGINE
FOLDER = "best-ct2"
APART = 0.5  # points of the rate by which the engines may differ
ERRORS_APART = 2  # and this many words or characters at least: on a small set one is a point


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The rates of the evaluation set by the model's own engine and by the ``other``.

    ``different``: utterances whose texts differ. ``refused``: why there is no export, as a
    sentence; "" if there is one.
    """

    own: Rates
    other: Rates
    different: int
    refused: str = ""


def export_ct2(best: Path, step: int, output: Path, evaluator: Evaluator) -> Proof:
    """Write ``output``/best-ct2, unless the ``evaluator`` shows that faster-whisper hears too much
    that whisper doesn't.

    ``best``: the folder of the model saved after ``step``. Raise `OutputFailed`, `EngineMissing`,
    and what an evaluation does.
    """
    from speechkit.engines.finetune.whisper import ct2_export

    final, unproven = output / FOLDER, output / f".{FOLDER}.part"
    with output_errors(unproven):
        shutil.rmtree(unproven, ignore_errors=True)
        ct2_export.export(best, unproven)
        proof = _prove(best, unproven, step, evaluator)
        shutil.rmtree(final, ignore_errors=True)
        if proof.refused:
            shutil.rmtree(unproven)
            return proof
        for path in unproven.iterdir():
            sync_file(path)
        unproven.rename(final)
        sync_folder(output)
    return proof


def _prove(best: Path, exported: Path, step: int, evaluator: Evaluator) -> Proof:
    own = evaluator.transcripts(best, step, ENGINE)
    other = evaluator.transcripts(exported, step, OTHER, compute_type="float32")
    rates = [Rates.of(evaluator.score(path).total) for path in (own, other)]
    texts = [[one["pred_text"] for one in manifest.read_records(str(p))] for p in (own, other)]
    different = sum(first != second for first, second in zip(*texts, strict=True))
    return Proof(own=rates[0], other=rates[1], different=different, refused=refusal(*rates))


def refusal(own: Rates, other: Rates) -> str:
    """Why the engines differ too much, as a sentence; "" where they don't."""
    errors = round(abs(own.quoted - other.quoted) * own.reference)
    if errors <= max(APART / 100 * own.reference, ERRORS_APART):
        return ""
    return (
        f"no {FOLDER}: with it, {OTHER} has a {own.figure.upper()} of {100 * other.quoted:.2f} % "
        f"on the evaluation set, and {ENGINE} has {100 * own.quoted:.2f} % with best: more than "
        f"{APART} points apart"
    )
