"""A k-means of scikit-learn to the centroids alone."""

from __future__ import annotations

from pathlib import Path

from speechkit.errors import EngineMissing, OutputConflict, UsageError


def convert(kmeans: Path, target: Path, *, trust: bool) -> tuple[int, int]:
    """Units and the width of their centroids. Raises `UsageError` unless trusted, `EngineMissing`
    for what holds no centroids."""
    if not kmeans.is_file():
        raise UsageError(f"{kmeans}: no such file")
    if target.suffix != ".npz":
        raise UsageError(f"{target}: the centroids go into an .npz")
    if target.exists():
        raise OutputConflict(f"{target}: exists; name another one, or remove it")
    if not trust:
        raise UsageError(
            f"{kmeans}: is a pickle, and loading it runs whatever code is in it; add --trust if "
            "you trust whoever made it"
        )
    from speechkit.engines.s2s import kmeans as centroids

    try:
        found = centroids.from_pickle(kmeans)
    except ModuleNotFoundError as e:
        raise EngineMissing(f"{e}; install it with: pip install 'speechkit[s2s]'") from e
    centroids.write(target, found)
    return len(found), found.shape[1]
