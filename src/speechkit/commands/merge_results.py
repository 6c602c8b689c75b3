from __future__ import annotations

from pathlib import Path
from typing import Annotated

from speechkit.commands.console import conclude
from speechkit.commands.options import ConfigOption, DebugOption, Option


def merge_results(
    input_pattern: Annotated[
        str, Option(metavar="GLOB", help='The splits\' results, as "output/*_split_*.jsonl".')
    ],
    output: Annotated[str, Option("--output", "-o", metavar="FILE", help="The merged file.")],
    manifest: Annotated[
        str | None,
        Option(metavar="FILE", help="What was split. Default: what the splits' index names."),
    ] = None,
    splits_dir: Annotated[
        str,
        Option(
            metavar="DIR",
            help="Where split-manifest put the splits.",
            envvar="SPEECHKIT_SPLITS_DIR",
        ),
    ] = "splits",
    allow_partial: Annotated[
        bool, Option("--allow-partial", help="Write what there is when incomplete.")
    ] = False,
    summary: Annotated[
        Path | None, Option(metavar="FILE", help="Write the findings as JSON.")
    ] = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Join the splits' results in the input's order and prove that none is missing.

    Exits with 4 where utterances are missing, extra, doubled or in conflict, naming the array
    indices to run again; with 3 where all are there and some have an error.

    Example: speechkit merge-results --input-pattern "output/*_split_*.jsonl" -o final.jsonl
    """
    from speechkit.reports.merge import MergeReport
    from speechkit.splitting.merge import merge_results as merge
    from speechkit.splitting.merge_inputs import MergeOptions

    options = MergeOptions(
        input_pattern,
        output,
        manifest=manifest,
        splits_dir=splits_dir,
        allow_partial=allow_partial,
    )
    return conclude(MergeReport(merge(options)), summary)
