"""Centroids of k-means: fitted, taken out of scikit-learn's files, kept in ``.npz``."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechkit.errors import EngineMissing
from speechkit.io import atomic

SEED = 1
# As HuBERT's own k-means (fairseq, examples/hubert/simple_kmeans): frames a step, steps without
# progress until it stops, starts.
BATCH = 10_000
PATIENCE = 100
STARTS = 20
MOST_BYTES = 1 << 30  # of centroids; 10,000 of 1024 numbers are 40 MB

Centroids = NDArray[np.float32]


def fit(features: NDArray[np.float32], clusters: int) -> tuple[Centroids, float]:
    """Centroids [clusters, width] of features [frames, width], always the same ones, and the mean
    squared distance of a frame to its own."""
    from sklearn.cluster import MiniBatchKMeans

    kmeans = MiniBatchKMeans(
        clusters,
        batch_size=BATCH,
        max_no_improvement=PATIENCE,
        n_init=STARTS,
        reassignment_ratio=0.0,
        random_state=SEED,
    ).fit(features)
    return kmeans.cluster_centers_.astype(np.float32), float(kmeans.inertia_) / len(features)


def from_pickle(path: Path) -> Centroids:
    """The centroids of scikit-learn's own file. RUNS WHATEVER CODE IS IN IT.

    Raises `EngineMissing` for what holds none.
    """
    import joblib
    import sklearn.cluster  # noqa: F401  # what the file is made of

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions, which centroids don't depend on
            found = joblib.load(path)
        return _checked(found.cluster_centers_)
    except Exception as e:  # a pickle can raise anything
        raise EngineMissing(f"{path}: not a k-means of scikit-learn: {e!r:.200}") from e


def write(path: Path, centroids: Centroids) -> None:
    with atomic.publish(path) as file:
        np.savez(file, centroids=centroids)


def read(path: Path) -> Centroids:
    """No pickle is ever read. Raises `EngineMissing`."""
    try:
        _require_bounds(path)
        with np.load(path, allow_pickle=False) as file:
            return _checked(file["centroids"])
    except FileNotFoundError as e:
        raise EngineMissing(f"--quantizer {path}: no such file") from e
    except Exception as e:  # a broken file can raise anything
        made = path.suffix == ".npz"
        source, target = ("KMEANS", "NEW.npz") if made else (path, path.with_suffix(".npz"))
        raise EngineMissing(
            f"--quantizer {path}: not an .npz with centroids, a table of numbers and nothing else; "
            "of a k-means of scikit-learn (.bin, .joblib, .pkl) one is made by: "
            f"speechkit convert-quantizer {source} {target}"
        ) from e


def _require_bounds(path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        if sum(one.file_size for one in file.infolist()) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")


def _checked(found: object) -> Centroids:
    centroids = np.asarray(found, dtype=np.float32)
    if centroids.ndim != 2 or not centroids.size or not np.isfinite(centroids).all():
        raise ValueError("its centroids are no table of numbers")
    return centroids
