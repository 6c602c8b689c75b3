from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechkit.commands.asr_options import SubtitleFlags
from speechkit.commands.console import conclude, print_text
from speechkit.commands.options import (
    SHARED,
    ConfigOption,
    DebugOption,
    Option,
    require_choice,
    takes,
)
from speechkit.errors import UsageError
from speechkit.stages import STAGES

if TYPE_CHECKING:
    from speechkit.formats.format import Format


ResultArgument = Annotated[
    str,
    typer.Argument(
        metavar="RESULT",
        help="Output of vad, asr or s2s (.jsonl, .json, .gz), or - for stdin.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    list[str],
    Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help="Format: rttm, audacity, csv; for transcripts txt, srt, vtt, tsv, ctm or textgrid; "
        "for units units. Repeatable with --output-dir.",
    ),
]
FolderOption = Annotated[
    Path | None,
    Option(
        "--output-dir",
        metavar="DIR",
        help="Folder for the files, one per recording in the tree of the input. Without it, the "
        "text goes to stdout.",
    ),
]
OneFileOption = Annotated[bool, Option("--one-file", help="Write one file for all recordings.")]
RestartOption = Annotated[
    bool,
    Option(
        "--restart",
        help="Take over an --output-dir that belongs to another result.",
        rich_help_panel=SHARED,
    ),
]


@takes(subtitles=SubtitleFlags)
def export(
    result: ResultArgument,
    form: FormatOption,
    output_dir: FolderOption = None,
    one_file: OneFileOption = False,
    restart: RestartOption = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
    *,
    subtitles: SubtitleFlags,
) -> int:
    """Write a result as text: the formats of --format, also for merged results.

    Example: speechkit export final.jsonl --format srt --output-dir subtitles
    """
    from speechkit.formats import FORMATS
    from speechkit.reports.run import ExportReport
    from speechkit.runtime.export import Results, export_result
    from speechkit.runtime.recordings import all_recordings

    names = dict.fromkeys(require_choice(name, FORMATS, "--format") for name in form)
    formats = [FORMATS[name].laid_out(subtitles.layout()) for name in names]
    of_stages = {form.stage for form in formats}
    keys = [stage.result for stage in STAGES if stage.name in of_stages]
    _require_options(result, formats, output_dir, one_file=one_file, restart=restart)
    with Results(result, keys) as inputs:
        inputs.scan()
        if output_dir is None:
            print_text(formats[0].render(all_recordings(inputs)))
            failed = any(utterance.record.get("error") is not None for utterance in inputs)
            return 3 if failed else 0
        written = export_result(
            inputs, result, output_dir, formats, one_file=one_file, restart=restart
        )
    return conclude(ExportReport(written))


def _require_options(
    result: str,
    formats: Sequence[Format],
    output_dir: Path | None,
    *,
    one_file: bool,
    restart: bool,
) -> None:
    from speechkit.io.manifest import is_manifest

    if result != "-" and not is_manifest(result):
        raise UsageError(f"{result}: a result ends in .jsonl or .json")
    if output_dir is None and len(formats) > 1:
        raise UsageError("only one format fits on stdout; give --output-dir")
    if output_dir is None and (one_file or restart):
        raise UsageError("--one-file and --restart need --output-dir")
