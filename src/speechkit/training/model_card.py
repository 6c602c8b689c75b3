"""The README.md of a trained model: a model card as Hugging Face's hub reads it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from speechkit.io import atomic, manifest
from speechkit.io.file_names import shown
from speechkit.records import Record
from speechkit.training.evaluation import Measured, comparison
from speechkit.training.options import FinetuneOptions

FILE = "README.md"
TASK = "automatic-speech-recognition"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """What a training has learnt from: ``trained`` of ``utterances``, with so many ``seconds``.

    ``left_out``: the others, by reason. ``languages``: as the lines trained on state them.
    """

    utterances: int
    trained: int
    seconds: float
    left_out: Mapping[str, int]
    languages: tuple[str, ...]

    @classmethod
    def read(cls, usage: Path) -> Self:
        """From the manifest that says of each utterance how often it was used."""
        count = trained = 0
        seconds = 0.0
        reasons, spoken = Counter[str](), Counter[str]()
        for record in manifest.read_records(str(usage)):
            count += 1
            if record["used"]:
                trained += 1
                seconds += record.get("duration") or 0.0
                spoken.update([record["lang"]] if record.get("lang") else [])
            else:
                reasons.update(_reasons(record))
        return cls(
            utterances=count,
            trained=trained,
            seconds=seconds,
            left_out=dict(reasons.most_common()),
            languages=tuple(name for name, _ in spoken.most_common()),
        )


def _reasons(record: Record) -> list[str]:
    if error := record.get("error"):
        return [error["type"]]
    return record.get("skipped") or ["not reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """``base``: the name of the model that was trained, as it was given. ``context``: seconds of a
    window of the encoder, shorter than ``window``, the usual one, or as long. ``after``: of the
    model of this card; None without an evaluation set, as ``before``."""

    base: str
    step: int
    options: FinetuneOptions
    data: TrainedOn
    context: float
    before: Measured | None
    after: Measured | None
    versions: Mapping[str, str]
    window: float = 30.0


def write_card(folder: Path, card: Card) -> None:
    """Write README.md. Raise `OutputFailed`."""
    body = "\n\n".join([*_introduction(card), *_figures(card), *_usage(card), *_making(card)])
    front = "".join(f"{key}: {_json(value)}\n" for key, value in _front_matter(card).items())
    atomic.write_text(folder / FILE, f"---\n{front}---\n\n{body}\n")


def _front_matter(card: Card) -> dict[str, Any]:
    given = [card.options.language] if card.options.language else []
    languages = list(dict.fromkeys([*card.data.languages, *given]))
    return {
        **({"language": languages} if languages else {}),
        "library_name": "transformers",
        "pipeline_tag": TASK,
        "base_model": card.base,
        "tags": ["whisper", "speechkit"],
        "metrics": ["wer", "cer"],
        **({"model-index": [_results(card, card.after)]} if card.after else {}),
    }


def _results(card: Card, after: Measured) -> Record:
    metrics = [{"type": name, "value": round(getattr(after, name), 6)} for name in ("wer", "cer")]
    return {
        "name": f"{card.base}, fine-tuned",
        "results": [
            {
                "task": {"type": TASK},
                "dataset": {"type": "custom", "name": " ".join(card.options.evaluation)},
                "metrics": metrics,
            }
        ],
    }


def _introduction(card: Card) -> Iterator[str]:
    data = card.data
    yield "# A fine-tuned Whisper"
    yield (
        f"{_code(card.base)}, trained by speechkit in {card.step} steps on {data.trained} of "
        f"{data.utterances} utterances, {data.seconds / 3600:.2f} hours of speech."
    )
    if data.left_out:
        reasons = (f"- {_code(reason)}: {count}" for reason, count in data.left_out.items())
        yield "The others were left out, by reason:"
        yield "\n".join(reasons)


def _figures(card: Card) -> Iterator[str]:
    yield "## Figures"
    if card.before is None or card.after is None:
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
    for number, row in enumerate(comparison(card.before, card.after)):
        name = f"guard {_code(row['name'])}" if number else "evaluation"
        rows.append(_row(name, row))
        rows += [_row(f"{name}, {_code(one['name'])}", one) for one in row.get("languages", ())]
        if row.get("moved"):
            moved.append(
                f"In guard {_code(row['name'])}, {100 * row['moved']:.1f} % of the words begin "
                "half a second or more earlier or later than before the training."
            )
    yield "\n".join(rows)
    yield from moved


def _row(name: str, row: Record) -> str:
    rates = (100 * row[rate][when] for rate in ("wer", "cer") for when in ("before", "after"))
    cells = [name, str(row["utterances"]), str(row["failed"]), *(f"{rate:.2f}" for rate in rates)]
    return f"| {' | '.join(cells)} |"


def _usage(card: Card) -> Iterator[str]:
    yield "## Use"
    yield "    speechkit asr --engine whisper --model FOLDER recordings/"
    if card.context < card.window:
        yield (
            f"Its encoder was trained on windows of {card.context:g} s, and `encoder_context` in "
            f"config.json says so. speechkit encodes a clip of up to {card.context:g} s in a "
            f"window of {card.context:g} s, and a longer one in the usual window. transformers "
            f"pads every clip to {card.window:g} s, and then the error rates may differ."
        )


def _making(card: Card) -> Iterator[str]:
    yield "## Training"
    yield "The options:"
    yield f"```json\n{json.dumps(asdict(card.options), indent=2, default=str)}\n```"
    versions = (f"{name} {version}" for name, version in card.versions.items())
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
