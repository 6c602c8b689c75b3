from __future__ import annotations

from typing import Annotated

from speechkit.commands.console import conclude
from speechkit.commands.options import ConfigOption, DebugOption, Option


def split_manifest(
    input: Annotated[str, Option("--input", metavar="FILE", help="Manifest to split.")],
    splits: Annotated[int, Option(min=1, metavar="N", help="Number of splits.")],
    output_dir: Annotated[
        str, Option(metavar="DIR", help="Folder for the splits.", envvar="SPEECHKIT_SPLITS_DIR")
    ] = "splits",
    by: Annotated[
        str,
        Option(
            metavar="duration|count",
            help="Quantity to balance: duration, or count (utterances).",
        ),
    ] = "duration",
    restart: Annotated[
        bool,
        Option("--restart", help="Replace splits of another manifest or another number."),
    ] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Split a manifest for a job array, into NAME_split_00.jsonl and so on.

    Example: speechkit split-manifest --input data.jsonl --splits 30
    """
    from speechkit.reports.split import SplitReport
    from speechkit.splitting.split import SplitOptions
    from speechkit.splitting.split import split_manifest as split

    options = SplitOptions(input, splits, output_dir, by=by, restart=restart)
    return conclude(SplitReport(split(options)))
