"""Whether a few long utterances make a training slow."""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.training.training_data import rounded_up

FEW = 0.01  # share of the utterances, but one at least
WORTH = 2.0  # times as fast


def context_hint(seconds: Sequence[float], context: float) -> str:
    """A sentence on a context that leaves out few utterances and saves much; "" without one.

    ``seconds``: of each utterance; ``context``: that of the longest one.
    """
    longest_first = sorted(seconds, reverse=True)
    for left_out in range(1, max(1, int(FEW * len(seconds))) + 1):
        if left_out >= len(longest_first):
            break
        shorter = rounded_up(longest_first[left_out])
        if context >= WORTH * shorter:
            make = "makes" if left_out == 1 else "make"
            them = "it" if left_out == 1 else "them"
            return (
                f"{left_out} of {len(seconds)} utterances {make} the context {context:g} s; "
                f"--context {shorter:g} would leave {them} out and give the encoder "
                f"{context / shorter:.1f} times less work"
            )
    return ""
