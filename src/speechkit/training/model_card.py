"""The README.md of a trained model: a model card as Hugging Face's hub reads it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechkit.io import atomic, manifest
from speechkit.io.file_names import shown
from speechkit.records import Record
from speechkit.training.evaluation import Measured, comparison
from speechkit.training.guard import MOVED
from speechkit.training.requirements import LONGEST_CONTEXT
from speechkit.training.summary import FinetuneSummary
from speechkit.training.training_data import USAGE

FILE = "README.md"
TASK = "automatic-speech-recognition"


def write_card(folder: Path, summary: FinetuneSummary, measured: Measured | None) -> None:
    """Write README.md for a model of a training that has ended, as it was ``measured``.

    ``measured``: None without an evaluation set. Raise `OutputFailed`.
    """
    sections = (_introduction, _figures, _usage, _making)
    body = "\n\n".join(part for section in sections for part in section(summary, measured))
    settings = _front_matter(summary, measured)
    front = "".join(f"{key}: {_json(value)}\n" for key, value in settings.items())
    atomic.write_text(folder / FILE, f"---\n{front}---\n\n{body}\n")


def _front_matter(summary: FinetuneSummary, measured: Measured | None) -> dict[str, Any]:
    languages = _languages(summary)
    return {
        **({"language": languages} if languages else {}),
        "library_name": "transformers",
        "pipeline_tag": TASK,
        "base_model": summary.model,
        "tags": ["whisper", "speechkit"],
        "metrics": ["wer", "cer"],
        **({"model-index": [_results(summary, measured)]} if measured else {}),
    }


def _languages(summary: FinetuneSummary) -> list[str]:
    """Those of the utterances that were trained on, the most frequent first."""
    usage = manifest.read_records(str(Path(summary.output) / USAGE))
    spoken = Counter(record.get("lang") for record in usage if record["used"])
    given = summary.options.get("language")
    names = [name or given for name, _ in spoken.most_common()]
    return list(dict.fromkeys(filter(None, names)))


def _results(summary: FinetuneSummary, measured: Measured) -> Record:
    metrics = [
        {"type": name, "value": round(getattr(measured, name), 6)} for name in ("wer", "cer")
    ]
    return {
        "name": f"{summary.model}, fine-tuned",
        "results": [
            {
                "task": {"type": TASK},
                "dataset": {"type": "custom", "name": " ".join(summary.options["evaluation"])},
                "metrics": metrics,
            }
        ],
    }


def _introduction(summary: FinetuneSummary, measured: Measured | None) -> Iterator[str]:
    step = measured.step if measured else summary.steps
    yield "# A fine-tuned Whisper"
    yield (
        f"{_code(summary.model)}, trained by speechkit in {step} steps. Of {summary.utterances} "
        f"utterances, {summary.usable} could be trained on, {summary.audio_seconds / 3600:.2f} "
        f"hours of speech, and {summary.trained} were. Of those that could, {summary.timed} had "
        "the times of their words or segments."
    )
    left_out = {**summary.skipped, **summary.failed}
    if left_out:
        yield "Left out, by reason:"
        yield "\n".join(f"- {_code(reason)}: {count}" for reason, count in left_out.items())


def _figures(summary: FinetuneSummary, measured: Measured | None) -> Iterator[str]:
    yield "## Figures"
    if summary.before is None or measured is None:
        yield "It was not measured: the training had no evaluation set."
        return
    yield (
        "Error rates in %, before the training and after, by `speechkit asr --engine whisper` and "
        "`speechkit score` with its default normaliser:"
    )
    rows = [
        "| set | utterances | failed | WER before | WER after | CER before | CER after |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    moved = list[str]()
    for number, row in enumerate(comparison(summary.before, measured)):
        name = f"guard {_code(row['name'])}" if number else "evaluation"
        rows.append(_row(name, row))
        rows += [_row(f"{name}, {_code(one['name'])}", one) for one in row.get("languages", ())]
        if row.get("moved"):
            moved.append(
                f"In guard {_code(row['name'])}, {100 * row['moved']:.1f} % of the words begin "
                f"more than {MOVED} s earlier or later than before the training."
            )
    yield "\n".join(rows)
    yield from moved
    if measured.refused:
        yield f"It is not the best model of its training: {shown(measured.refused)}."


def _row(name: str, row: Record) -> str:
    rates = (100 * row[rate][when] for rate in ("wer", "cer") for when in ("before", "after"))
    cells = [name, str(row["utterances"]), str(row["failed"]), *(f"{rate:.2f}" for rate in rates)]
    return f"| {' | '.join(cells)} |"


def _usage(summary: FinetuneSummary, _: Measured | None) -> Iterator[str]:
    yield "## Use"
    yield "    speechkit asr --engine whisper --model FOLDER recordings/"
    if summary.context < LONGEST_CONTEXT:
        short = f"{summary.context:g} s"
        yield (
            f"Its encoder was trained on windows of {short}, and `encoder_context` in config.json "
            f"says so. speechkit encodes a clip of up to {short} in a window of {short}, and a "
            f"longer one in the usual window. transformers pads every clip to {LONGEST_CONTEXT:g} "
            "s, and then the error rates may differ."
        )


def _making(summary: FinetuneSummary, _: Measured | None) -> Iterator[str]:
    yield "## Training"
    yield "The options:"
    yield f"```json\n{json.dumps(summary.options, indent=2)}\n```"
    versions = (f"{name} {version}" for name, version in summary.versions.items())
    yield f"Made with {', '.join(versions)}."


def _json(value: Any) -> str:
    """JSON on a line, which is YAML too: both have the same escapes for what moves a cursor."""
    return shown(json.dumps(value, ensure_ascii=False))


def _code(text: str) -> str:
    """The text as code of Markdown, also in a cell of a table."""
    plain = shown(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"
