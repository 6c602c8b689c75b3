from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.asr_options import SubtitleFlags
from speechkit.commands.console import say
from speechkit.commands.options import SHARED, ConfigOption, DebugOption, Option, one_of, takes
from speechkit.errors import UsageError


@takes(subtitles=SubtitleFlags)
def export(
    result: Annotated[
        str,
        typer.Argument(
            metavar="RESULT",
            help="An output manifest of vad, asr or s2s (.jsonl, .json, .gz), or - (stdin).",
            show_default=False,
        ),
    ],
    form: Annotated[
        list[str],
        Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="rttm, audacity, csv; of transcripts txt, srt, vtt, tsv, ctm, textgrid; of units "
            "units. Repeatable with --output-dir.",
        ),
    ],
    output_dir: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Folder for a file a recording, the input's tree kept. Default: all on stdout.",
        ),
    ] = None,
    one_file: Annotated[
        bool, Option("--one-file", help="One file for all recordings in --output-dir.")
    ] = False,
    restart: Annotated[
        bool,
        Option("--restart", help="Take --output-dir from another run.", rich_help_panel=SHARED),
    ] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
    *,
    subtitles: SubtitleFlags,
) -> None:
    """Write results as text: what a stage's own --format writes, for merged results too.

    Example: speechkit export final.jsonl --format srt --output-dir subtitles
    """
    from speechkit.commands.stage import print_text
    from speechkit.formats import ASR_FORMATS, S2S_FORMATS, VAD_FORMATS, asr_formats
    from speechkit.io.manifest import is_manifest, manifest_stem
    from speechkit.runtime.export import Export, Results, all_recordings

    available = {**VAD_FORMATS, **asr_formats(subtitles.layout()), **S2S_FORMATS}
    chosen = [available[one_of(name, available, "--format")] for name in dict.fromkeys(form)]
    made_of = {"segments": VAD_FORMATS, "pred_text": ASR_FORMATS, "units": S2S_FORMATS}
    keys = [key for key, formats in made_of.items() if not formats.keys().isdisjoint(form)]
    if result != "-" and not is_manifest(result):
        raise UsageError(f"{result}: a result ends in .jsonl or .json")
    if output_dir is None and len(chosen) > 1:
        raise UsageError("only one format fits on stdout; give --output-dir")
    if output_dir is None and (one_file or restart):
        raise UsageError("--one-file and --restart need --output-dir")
    with Results(result, keys) as inputs:
        inputs.scan()
        if output_dir is None:
            print_text(chosen[0].render(all_recordings(inputs)))
            failed = any(utterance.record.get("error") is not None for utterance in inputs)
            raise typer.Exit(3 if failed else 0)
        name = manifest_stem(result) if result != "-" else "results"
        joined = name if one_file else None
        work = Export(inputs, result, output_dir, chosen, joined=joined, restart=restart)
        with work.claimed():
            written = work.write(lambda: (utterance.record for utterance in inputs))
    say(written.text())
    raise typer.Exit(3 if written.failures or written.failed else 0)
