"""A linear probe: how well a linear classifier reads a label from vectors it has not seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.errors import UsageError
from speechkit.io import manifest
from speechkit.io.embedding_shards import Embeddings
from speechkit.io.file_names import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEAKER = "speaker"  # the key by which utterances are kept together
MOST_LABELS = 1000
STEPS = 1000  # of the optimiser, at most


@dataclass(frozen=True, slots=True)
class Probe:
    """``accuracy``: over all utterances, each predicted by a classifier trained without it.

    ``baseline``: the share of the commonest label. ``grouped``: no speaker was in training and in
    test at once. ``confusion``: [label, predicted label] counts. ``left_out``: rows without a
    vector; ``without_label``: rows with one, that have no label.
    """

    label: str
    vectors: str
    labels: Sequence[str]
    confusion: NDArray[np.int64]
    folds: Sequence[float]
    grouped: bool
    left_out: int
    without_label: int

    @property
    def utterances(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        return float(self.confusion.trace()) / self.utterances

    @property
    def baseline(self) -> float:
        return float(self.confusion.sum(1).max()) / self.utterances


def probe(embeddings: Embeddings, name: str, label: str, folds: int) -> Probe:
    """Logistic regression over standardised vectors, cross-validated in ``folds`` parts.

    Speakers are kept together where all utterances have the key `SPEAKER` and it is not the
    ``label``. Raise `UsageError` for too few labels, utterances or speakers, and without vectors.
    """
    vectors = embeddings.vectors(name)
    if not vectors.size:
        raise UsageError(f"{shown(embeddings.folder)}: holds no vector")
    is_there = np.isfinite(vectors).all(1)
    values = [manifest.value_at(record, label) for record in embeddings.records]
    rows = [row for row in np.flatnonzero(is_there).tolist() if values[row] is not None]
    texts = [_text(values[row]) for row in rows]
    labels, truth = np.unique(np.array(texts, dtype=object), return_inverse=True)
    speakers = [manifest.value_at(embeddings.records[row], SPEAKER) for row in rows]
    groups = None if label == SPEAKER or None in speakers else [_text(one) for one in speakers]
    _require(label, texts, groups, folds)
    predicted, scores = _predicted(np.asarray(vectors[rows], np.float32), truth, groups, folds)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    left_out = int((~is_there).sum())
    return Probe(
        label=label,
        vectors=name,
        labels=tuple(labels.tolist()),
        confusion=confusion,
        folds=scores,
        grouped=groups is not None,
        left_out=left_out,
        without_label=len(embeddings) - left_out - len(rows),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _require(label: str, texts: Sequence[str], groups: Sequence[str] | None, folds: int) -> None:
    """Raise `UsageError` for what can't be probed."""
    counts = Counter(texts)
    if not counts:
        raise UsageError(f"--label {label}: no utterance has this key")
    if not 2 <= len(counts) <= MOST_LABELS:
        raise UsageError(
            f"--label {label}: has {len(counts)} different values; a probe needs 2 to {MOST_LABELS}"
        )
    rarest = min(counts, key=lambda text: counts[text])
    if groups is None and counts[rarest] < folds:
        raise UsageError(
            f"--folds {folds}: only {counts[rarest]} utterances have the {label} {rarest!r}"
        )
    if groups is not None and len(set(groups)) < folds:
        raise UsageError(
            f"--folds {folds}: there are only {len(set(groups))} speakers to keep apart"
        )


def _predicted(
    vectors: NDArray[np.float32],
    truth: NDArray[np.int64],
    groups: Sequence[str] | None,
    folds: int,
) -> tuple[NDArray[np.int64], list[float]]:
    """The prediction for each row by the classifier that has not seen it, and each fold's
    accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    splitter: Any = StratifiedKFold if groups is None else StratifiedGroupKFold
    parts = splitter(folds, shuffle=True, random_state=0).split(vectors, truth, groups)
    predicted = np.zeros_like(truth)
    scores = []
    for train, test in parts:
        if len(np.unique(truth[train])) < 2:
            raise UsageError(f"--folds {folds}: a fold's other speakers have a single label")
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=STEPS))
        predicted[test] = classifier.fit(vectors[train], truth[train]).predict(vectors[test])
        scores.append(float((predicted[test] == truth[test]).mean()))
    return predicted, scores
