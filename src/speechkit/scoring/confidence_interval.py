"""Confidence intervals of error rates by the bootstrap.

Method: M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance
evaluation", ICASSP 2004: utterances are drawn with replacement, each draw taking an utterance's
errors together with its reference length; the interval is read off the percentiles of the rates.
"""

from __future__ import annotations

from collections import Counter

Interval = tuple[float, float]

LEVEL = 0.95  # of the intervals
RESAMPLES = 1000
SEED = 0
_CELLS = 4_000_000  # of one multinomial draw: 32 MB


def interval(tally: Counter[tuple[int, int]]) -> Interval | None:
    """The percentile interval of errors / reference length.

    ``tally`` counts the utterances of each (errors, reference length): utterances with equal
    pairs are interchangeable, so drawing all of them is one multinomial draw over the distinct
    pairs, and memory doesn't grow with the utterances. Their order changes nothing. None where
    fewer than two utterances or no reference make the question empty.
    """
    import numpy as np

    utterances = tally.total()
    distinct = sorted(tally)
    if utterances < 2 or not any(reference for _, reference in distinct):
        return None
    pairs = np.array(distinct, dtype=np.float64)
    shares = np.array([tally[pair] for pair in distinct]) / utterances
    random = np.random.default_rng(SEED)
    step = max(1, _CELLS // len(pairs))
    sums = np.concatenate(
        [
            random.multinomial(utterances, shares, min(step, RESAMPLES - start)) @ pairs
            for start in range(0, RESAMPLES, step)
        ]
    )
    sums = sums[sums[:, 1] > 0]  # a draw of empty references alone has no rate
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
