from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.console import show, write_json
from speechkit.commands.options import (
    ConfigOption,
    DebugOption,
    Option,
    require_one_on_stdout,
)
from speechkit.records import Record

InputArgument = Annotated[
    str, typer.Argument(metavar="INPUT", help="Manifest with text and pred_text, or - for stdin.")
]
NormalizerOption = Annotated[
    str,
    Option(
        metavar="NAME",
        help="Text normaliser: unicode (any language), english, none, or basic (OpenAI's, only for "
        "comparison with published figures of Whisper; it cuts words at combining marks: Hindi, "
        "Thai, Tamil…).",
    ),
]
KeyOption = Annotated[
    str | None,
    Option(metavar="KEY", help="Break the figures down by this key (a.b for a nested one)."),
]


def score(
    input: InputArgument,
    normalizer: NormalizerOption = "unicode",
    by: KeyOption = None,
    worst: Annotated[int, Option(min=0, metavar="N", help="Worst utterances to show aligned.")] = 5,
    output: Annotated[
        str | None,
        Option("--output", "-o", metavar="FILE|-", help="Write the records with their own rates."),
    ] = None,
    summary: Annotated[
        Path | None, Option(metavar="FILE", help="Write the score to this file, as JSON.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Measure word and character error rates of pred_text against text.

    Quote the CER for scripts without spaces between words (Japanese, Chinese, Thai…).

    Example: speechkit score asr.jsonl --by speaker
    """
    from speechkit.io import manifest
    from speechkit.io.manifest_checks import lacks_nothing
    from speechkit.reports.score import ScoreReport
    from speechkit.scoring.score import ScoreOptions
    from speechkit.scoring.score import score as rate

    to_stdout = output == "-"
    require_one_on_stdout(output, as_json=as_json)
    with _rated_records(output) as emit:
        source = manifest.read_input(input, lacks_nothing)
        result = rate(source, ScoreOptions(normalizer, by, worst), emit)
        sys.stdout.flush()  # errors of stdout come before the report on stderr
    report = ScoreReport(result)
    if summary:
        write_json(report, summary)
    return show(report, as_json=as_json, on_stderr=to_stdout)


@contextmanager
def _rated_records(output: str | None) -> Iterator[Callable[[Record], object] | None]:
    """A writer of the records with their own rates; None without ``output``."""
    from speechkit.io import atomic, manifest

    if not output:
        yield None
        return
    with atomic.lines_to(output) as file:
        yield lambda record: file.write(manifest.encoded(record) + b"\n")
