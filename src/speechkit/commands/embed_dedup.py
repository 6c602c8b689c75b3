from __future__ import annotations

from pathlib import Path
from typing import Annotated

from speechkit.commands.console import show
from speechkit.commands.embed_options import (
    FolderArgument,
    LinesOption,
    VectorsOption,
    write_lines,
)
from speechkit.commands.options import (
    ConfigOption,
    DebugOption,
    Option,
    OutputOption,
    require_one_on_stdout,
)
from speechkit.io.embedding_shards import EMBEDDINGS


def dedup(
    folder: FolderArgument,
    threshold: Annotated[
        float,
        Option(
            min=0.0,
            max=1.0,
            metavar="COSINE",
            help="Similarity from which on an utterance is a duplicate. How alike different "
            "utterances are depends on the model: look at embed search first.",
        ),
    ] = 0.99,
    vectors: VectorsOption = EMBEDDINGS,
    output: LinesOption = None,
    keep: Annotated[
        Path | None,
        OutputOption(metavar="FILE", help="Write a manifest of the utterances to keep."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Find near duplicates, by the cosine of their vectors.

    The first of each group is the one to keep.

    Example: speechkit embed dedup vectors/ --threshold 0.98 --keep kept.jsonl
    """
    from speechkit.embeddings.near_duplicates import near_duplicates
    from speechkit.io.embedding_shards import load_embeddings
    from speechkit.reports.embed import DedupReport

    require_one_on_stdout(output, as_json=as_json)
    embeddings = load_embeddings(folder)
    found = near_duplicates(embeddings, vectors, threshold)
    report = DedupReport(embeddings, found, threshold)
    if output:
        write_lines(output, report.lines())
    if keep:
        write_lines(str(keep), report.kept())
    return show(report, as_json=as_json, on_stderr=output == "-")
