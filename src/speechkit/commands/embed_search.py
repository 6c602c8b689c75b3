from __future__ import annotations

from typing import Annotated

import typer

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
    EngineOption,
    Option,
    require_one_on_stdout,
)
from speechkit.io.embedding_shards import EMBEDDINGS


def search(
    folder: FolderArgument,
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY...",
            help="Audio files, or utterances of the folder: their id, or the number of their row "
            "from 0 on.",
            show_default=False,
        ),
    ],
    count: Annotated[
        int, Option("--count", "-k", min=1, metavar="N", help="Neighbours of each query.")
    ] = 10,
    vectors: VectorsOption = EMBEDDINGS,
    device: Annotated[
        str, EngineOption(metavar="NAME", help="Device of the engine, for audio files.")
    ] = "auto",
    output: LinesOption = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Find the utterances that are most like a query, by the cosine of their vectors.

    An audio file is embedded by the engine, the model and the options that made the folder.

    Example: speechkit embed search vectors/ new.wav
    """
    from speechkit.embeddings.queries import queries
    from speechkit.embeddings.search import nearest
    from speechkit.io.embedding_shards import load_embeddings
    from speechkit.reports.embed import SearchReport

    require_one_on_stdout(output, as_json=as_json)
    embeddings = load_embeddings(folder)
    asked = queries(embeddings, vectors, query, device)
    report = SearchReport(embeddings, asked, nearest(embeddings, vectors, asked, count))
    if output:
        write_lines(output, report.lines())
    return show(report, as_json=as_json, on_stderr=output == "-")
