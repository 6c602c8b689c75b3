"""Extraction of the centroids of a scikit-learn k-means."""

from __future__ import annotations

from pathlib import Path

from speechkit.errors import EngineMissing, OutputConflict, UsageError


def convert(kmeans: Path, target: Path, *, trust: bool) -> tuple[int, int]:
    """Write the centroids of ``kmeans`` to ``target``. Return their number and width.

    Raises `UsageError` for a file that isn't trusted, `EngineMissing` for a file without centroids.
    """
    if not kmeans.is_file():
        raise UsageError(f"{kmeans}: no such file")
    if target.suffix != ".npz":
        raise UsageError(f"{target}: the name has to end in .npz")
    if target.exists():
        raise OutputConflict(f"{target}: exists; name another one, or remove it")
    if not trust:
        raise UsageError(
            f"{kmeans}: is a pickle, and loading it runs the code in it; add --trust if you trust "
            "its source"
        )
    from speechkit.engines.s2s import kmeans as centroids

    try:
        rows = centroids.from_pickle(kmeans)
    except ModuleNotFoundError as e:
        raise EngineMissing(f"{e}; install it with: pip install 'speechkit[s2s]'") from e
    centroids.write(target, rows)
    return len(rows), rows.shape[1]
