from __future__ import annotations

from typing import Annotated

from speechkit.commands.console import show
from speechkit.commands.embed_options import FolderArgument, VectorsOption
from speechkit.commands.options import ConfigOption, DebugOption, Option
from speechkit.errors import UsageError
from speechkit.io.embedding_shards import EMBEDDINGS


def probe(
    folder: FolderArgument,
    label: Annotated[
        str | None,
        Option(metavar="KEY", help="Key of the label, such as text (a.b for a nested one)."),
    ] = None,
    folds: Annotated[int, Option(min=2, metavar="N", help="Parts of the cross-validation.")] = 4,
    vectors: VectorsOption = EMBEDDINGS,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> int:
    """Measure how well a linear classifier reads a label from the vectors.

    Each utterance is predicted by a classifier that was trained without it, and without its
    speaker where the manifest has the key speaker.

    Example: speechkit embed probe vectors/ --label text
    """
    from speechkit.embeddings.probe import probe as probed
    from speechkit.io.embedding_shards import load_embeddings
    from speechkit.reports.embed import ProbeReport

    if label is None:
        raise UsageError("--label: needed, the key of what is to be predicted")
    report = ProbeReport(probed(load_embeddings(folder), vectors, label, folds))
    return show(report, as_json=as_json)
