from __future__ import annotations

from pathlib import Path
from typing import Annotated

from speechkit.commands.console import conclude
from speechkit.commands.options import ConfigOption, DebugOption, Option

PatternOption = Annotated[
    str,
    Option(metavar="GLOB", help='Results of the splits, as a pattern: "output/*_split_*.jsonl".'),
]
ManifestOption = Annotated[
    str | None,
    Option(metavar="FILE", help="Manifest that was split. Default: from the index of the splits."),
]


def merge_results(
    input_pattern: PatternOption,
    output: Annotated[str, Option("--output", "-o", metavar="FILE", help="Merged output.")],
    manifest: ManifestOption = None,
    splits_dir: Annotated[
        str,
        Option(
            metavar="DIR",
            help="Folder of the splits.",
            envvar="SPEECHKIT_SPLITS_DIR",
        ),
    ] = "splits",
    allow_partial: Annotated[
        bool, Option("--allow-partial", help="Write an incomplete result.")
    ] = False,
    summary: Annotated[
        Path | None, Option(metavar="FILE", help="Write the findings to this file, as JSON.")
    ] = None,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Merge the results of splits in input order, and prove that none is missing.

    Exits with 4 if utterances are missing, extra, doubled or in conflict, and names the array
    indices to run again; with 3 if all are there and some have an error.

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
