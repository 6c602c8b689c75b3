"""Centroids of k-means: fitted, read from scikit-learn's files, stored in ``.npz``."""

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
    """Centroids [clusters, width] of features [frames, width], and the mean squared distance.

    The distance is that of a frame to its centroid. Equal features give equal centroids.
    """
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
    """The centroids in a file of scikit-learn. RUNS ANY CODE IN THAT FILE.

    Raise `EngineMissing` for a file without centroids.
    """
    import joblib
    import sklearn.cluster  # noqa: F401  # the classes in the file

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions, which centroids don't depend on
            kmeans = joblib.load(path)
        return _checked(kmeans.cluster_centers_)
    except Exception as e:  # a pickle can raise anything
        raise EngineMissing(f"{path}: not a k-means of scikit-learn: {e!r:.200}") from e


def write(path: Path, centroids: Centroids) -> None:
    with atomic.publish(path) as file:
        np.savez(file, centroids=centroids)


def read(path: Path) -> Centroids:
    """Read the centroids of an ``.npz``, never a pickle. Raise `EngineMissing`."""
    try:
        _require_bounds(path)
        with np.load(path, allow_pickle=False) as file:
            return _checked(file["centroids"])
    except FileNotFoundError as e:
        raise EngineMissing(f"--quantizer {path}: no such file") from e
    except Exception as e:  # a broken file can raise anything
        is_npz = path.suffix == ".npz"
        source, target = ("KMEANS", "NEW.npz") if is_npz else (path, path.with_suffix(".npz"))
        raise EngineMissing(
            f"--quantizer {path}: not an .npz with centroids, a table of numbers and nothing else; "
            "of a k-means of scikit-learn (.bin, .joblib, .pkl) one is made by: "
            f"speechkit convert-quantizer {source} {target}"
        ) from e


def _require_bounds(path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        if sum(member.file_size for member in file.infolist()) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")


def _checked(table: object) -> Centroids:
    centroids = np.asarray(table, dtype=np.float32)
    if centroids.ndim != 2 or not centroids.size or not np.isfinite(centroids).all():
        raise ValueError("its centroids are no table of numbers")
    return centroids
