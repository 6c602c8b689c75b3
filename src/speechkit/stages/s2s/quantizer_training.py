"""Training of a quantizer: a k-means fitted to the features of speech."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.engines.protocols import S2sEngine
from speechkit.errors import AudioTooShort, UsageError, UtteranceError
from speechkit.io.inputs import Inputs
from speechkit.records import Utterance
from speechkit.runtime.progress import Listener, Meter
from speechkit.runtime.stage import load_audio
from speechkit.runtime.worker_plan import Hardware
from speechkit.stages.s2s.stage import S2sOptions, prepared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

SEED = 1  # of the random order of utterances


@dataclass(frozen=True, slots=True)
class Training:
    """The result of a training. ``inertia``: mean squared distance of frames to their centroids."""

    quantizer: str
    clusters: int
    utterances: int
    failed: int
    frames: int
    inertia: float


def train_quantizer(
    options: S2sOptions,
    hardware: Hardware,
    inputs: Inputs,
    target: Path,
    clusters: int,
    most_frames: int,
    progress: Listener | None = None,
) -> Training:
    """Fit a k-means and write its ``centroids`` [clusters, width] to ``target``.

    The same input gives the same centroids. Raises `UsageError` for fewer frames than clusters.
    """
    import numpy as np

    from speechkit.engines.s2s import kmeans

    utterances = list(inputs)  # raises `ManifestError` before any work
    configured, options = prepared(options, hardware)
    engine: S2sEngine = configured.build()
    parts, failed = _features(engine, options, utterances, most_frames, progress)
    frames = sum(map(len, parts))
    if frames < clusters:
        raise UsageError(
            f"{frames} frames of features are not enough for {clusters} units; give more audio, "
            "or fewer --clusters"
        )
    features = np.concatenate(parts)[:most_frames]
    centroids, inertia = kmeans.fit(features, clusters)
    kmeans.write(target, centroids)
    return Training(str(target), clusters, len(parts), failed, len(features), inertia)


def _features(
    engine: S2sEngine,
    options: S2sOptions,
    utterances: list[Utterance],
    most_frames: int,
    progress: Listener | None,
) -> tuple[list[NDArray[np.float32]], int]:
    """The features of utterances in random order, until there are enough frames, and the number of
    utterances that failed."""
    random.Random(SEED).shuffle(utterances)  # noqa: S311
    parts: list[NDArray[np.float32]] = []
    failed = frames = 0
    meter = Meter("s2s features", len(utterances), None, progress)
    for utterance in utterances:
        if frames >= most_frames:
            break
        try:
            loaded = load_audio(utterance, options.channel, options.track)
            if loaded.data.samples < engine.shortest:
                raise AudioTooShort(f"{utterance.audio}: {loaded.data.samples} samples")
            parts += engine.features([loaded.data.waveform])
        except UtteranceError as e:
            log.warning("%s: %s", type(e).__name__, e)
            failed += 1
            meter.advance(seconds=0.0, failed=True)
            continue
        frames += len(parts[-1])
        meter.advance(seconds=loaded.seconds, failed=False)
    return parts, failed
