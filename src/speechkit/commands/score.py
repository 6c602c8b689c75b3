from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.console import show, write_json
from speechkit.commands.options import ConfigOption, DebugOption, Option
from speechkit.errors import UsageError
from speechkit.records import Record


def score(
    input: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="A manifest with text and pred_text, or - for stdin."),
    ],
    normalizer: Annotated[
        str,
        Option(
            help="unicode (any language), english, none, or basic: OpenAI's, for comparison with "
            "published WERs of Whisper; it cuts words at combining marks (Hindi, Thai, Tamil…)."
        ),
    ] = "unicode",
    by: Annotated[
        str | None, Option(metavar="FIELD", help="Break down by this key (a.b: nested).")
    ] = None,
    worst: Annotated[int, Option(min=0, help="Utterances to show aligned.")] = 5,
    output: Annotated[
        str | None,
        Option("--output", "-o", metavar="FILE|-", help="The records with their own rates."),
    ] = None,
    summary: Annotated[Path | None, Option(metavar="FILE", help="Write the score as JSON.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Word and character error rates of pred_text against text.

    Where a script puts no spaces between words (Japanese, Chinese, Thai…), quote the CER.

    Example: speechkit score asr.jsonl --by speaker
    """
    from speechkit.io import manifest
    from speechkit.io.manifest_checks import lacks_nothing
    from speechkit.reports.score import ScoreReport
    from speechkit.scoring.score import ScoreOptions
    from speechkit.scoring.score import score as rate

    to_stdout = output == "-"
    if to_stdout and as_json:
        raise UsageError("-o - and --json: only one of them fits on stdout")
    with _rated_records(output) as emit:
        source = manifest.read_input(input, lacks_nothing)
        result = rate(source, ScoreOptions(normalizer, by, worst), emit)
        sys.stdout.flush()  # what it can't take is told before what follows on stderr
    report = ScoreReport(result)
    if summary:
        write_json(report, summary)
    return show(report, as_json=as_json, on_stderr=to_stdout)


@contextmanager
def _rated_records(output: str | None) -> Iterator[Callable[[Record], object] | None]:
    """Takes the records with their own rates; None where nobody wants them."""
    from speechkit.io import atomic, manifest

    if not output:
        yield None
        return
    target = nullcontext(sys.stdout.buffer) if output == "-" else atomic.publish_lines(output)
    with target as file:
        yield lambda record: file.write(manifest.encoded(record) + b"\n")
