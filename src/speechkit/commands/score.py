from __future__ import annotations

import json
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.options import ConfigOption, DebugOption, Option
from speechkit.errors import UsageError


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
) -> None:
    """Word and character error rates of pred_text against text.

    Where a script puts no spaces between words (Japanese, Chinese, Thai…), quote the CER.

    Example: speechkit score asr.jsonl --by speaker
    """
    from speechkit.io import atomic, manifest
    from speechkit.io.judge import lacks_nothing
    from speechkit.scoring.score import ScoreOptions
    from speechkit.scoring.score import score as rate

    to_stdout = output == "-"
    if to_stdout and as_json:
        raise UsageError("-o - and --json: only one of them fits on stdout")
    with ExitStack() as stack:
        emit = None
        if output:
            target = nullcontext(sys.stdout.buffer) if to_stdout else atomic.publish_lines(output)
            rated = stack.enter_context(target)
            emit = lambda record: rated.write(f"{manifest.dump(record)}\n".encode())  # noqa: E731
        source = manifest.read_input(input, lacks_nothing)
        result = rate(source, ScoreOptions(normalizer, by, worst), emit)
        sys.stdout.flush()  # what it can't take is told before what follows on stderr
    text = json.dumps(result.to_json(), ensure_ascii=False, indent=2) + "\n"
    # File names that are not UTF-8 hold lone surrogates: "\udcff" is how JSON spells them.
    encoded = text.encode("utf-8", "backslashreplace")
    if summary:
        with atomic.publish(summary) as file:
            file.write(encoded)
    if as_json:
        sys.stdout.buffer.write(encoded)
    else:
        from rich.console import Console

        from speechkit.reports.score import render

        Console(stderr=to_stdout).print(render(result))
    raise typer.Exit(3 if result.total.failed else 0)
