"""The clock that a player shows: decoded blocks placed by their times, with silence in the gaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRIFT = 0.05  # seconds, the tolerated difference of packets' times and their samples' sum
STEADY = 0.01  # seconds of it from one packet to the next, where times can be trusted
DELAY = 0.15  # the same for the first two, from which codecs drop padding
MAX_GAP = 3600.0  # seconds; a longer jump is a clock that was reset, and nothing is missing
SILENCE = 30.0  # seconds of silence handed on at once

#: The time of a block in seconds, None where its packet states none, and its samples.
Timed = tuple[float | None, "NDArray[np.float32]"]


class Clock:
    """Places blocks by their times.

    ``zero``: the time of frame 0, taken from the second block, because the first may have lost the
    codec's padding. ``flags`` gain ``damaged`` at a gap.
    """

    def __init__(self, rate: int, flags: set[str]) -> None:
        self._rate = rate
        self._flags = flags
        self.zero = 0.0
        self.is_set = False

    def place(
        self, blocks: Iterable[Timed], *, entered: bool = False
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Each block with the number of its first frame, and silence where blocks are missing.

        ``entered``: the blocks don't begin at frame 0; their times tell where they do. A jump in
        time counts where the next time confirms it; otherwise that one time is wrong. A jump back,
        or by hours, is one of the clock and not of the sound.
        """
        position = 0
        for number, (time, block, next_time) in enumerate(_with_next_time(blocks)):
            late = 0.0 if time is None else time - self.zero - position / self._rate
            if entered and number == 0:
                position += round(late * self._rate)
            elif time is not None:
                has_jumped = abs(late) > (DRIFT if number > 1 else DELAY)
                if not has_jumped or next_time is None:
                    self._set_zero(number, late)
                elif abs(next_time - time - len(block) / self._rate) <= STEADY:
                    for piece in self._gap(number, late, block):
                        yield position, piece
                        position += len(piece)
            yield position, block
            position += len(block)

    def _gap(
        self, number: int, seconds: float, block: NDArray[np.float32]
    ) -> Iterator[NDArray[np.float32]]:
        """The silence before a block; none where the clock was reset, which moves ``zero``."""
        if not 0 < seconds < MAX_GAP:
            self.zero += seconds
            return
        if number:
            self._flags.add("damaged")
        yield from silence(round(seconds * self._rate), block, self._rate)

    def _set_zero(self, number: int, late: float) -> None:
        if number == 1 and not self.is_set:
            self.zero += late
            self.is_set = True


def _with_next_time(
    blocks: Iterable[Timed],
) -> Iterator[tuple[float | None, NDArray[np.float32], float | None]]:
    """Each block with the time of the next, which tells whether its own can be trusted."""
    previous: Timed | None = None
    for block in blocks:
        if previous:
            yield *previous, block[0]
        previous = block
    if previous:
        yield *previous, None


def silence(frames: int, like: NDArray[np.float32], rate: int) -> Iterator[NDArray[np.float32]]:
    """``frames`` of zeros in blocks, with the channels of the block ``like``."""
    import numpy as np

    step = int(SILENCE * rate)
    for start in range(0, frames, step):
        yield np.zeros((min(step, frames - start), like.shape[1]), np.float32)
