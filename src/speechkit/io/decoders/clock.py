"""The clock that a player shows: where decoded blocks lie by their times, and silence between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRIFT = 0.05  # seconds that packets' times may be off from what their samples add up to
STEADY = 0.01  # seconds of it from one packet to the next, where times can be trusted
DELAY = 0.15  # as much for the first two, of which codecs drop what they made up
MOST_GAP = 3600.0  # seconds; beyond it a clock has been set anew, and nothing is missing
SILENCE = 30.0  # seconds of a gap handed on at once
Timed = tuple[float | None, "NDArray[np.float32]"]


class Clock:
    """Where blocks lie by their times. ``zero``: the time of frame 0, by the second block: the
    first one may have lost what the codec made up. ``flags`` gain ``damaged`` at a gap."""

    def __init__(self, rate: int, flags: set[str]) -> None:
        self._rate = rate
        self._flags = flags
        self.zero = 0.0
        self.is_set = False

    def place(
        self, blocks: Iterable[Timed], *, entered: bool = False
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Each block, and silence where some are missing, with the number of its first frame.
        ``entered``: the blocks don't begin at frame 0, and their times tell where they do.

        A time that jumps counts where the next one bears it out; else it alone is wrong. A jump
        back, or of hours, is of the clock and not of the sound."""
        position = 0
        for number, (time, block, after) in enumerate(_with_the_next_time(blocks)):
            late = 0.0 if time is None else time - self.zero - position / self._rate
            if entered and number == 0:
                position += round(late * self._rate)
            elif (
                abs(late) > (DRIFT if number > 1 else DELAY)
                and time is not None
                and after is not None
            ):
                is_steady = abs(after - time - len(block) / self._rate) <= STEADY
                if is_steady and 0 < late < MOST_GAP:
                    if number:
                        self._flags.add("damaged")
                    for piece in silence(round(late * self._rate), block, self._rate):
                        yield position, piece
                        position += len(piece)
                elif is_steady:  # the clock was set anew
                    self.zero += late
            elif number == 1 and not self.is_set and time is not None:
                self.zero += late
                self.is_set = True
            yield position, block
            position += len(block)


def _with_the_next_time(
    blocks: Iterable[Timed],
) -> Iterator[tuple[float | None, NDArray[np.float32], float | None]]:
    """Each block with the time of the one behind it, which tells whether its own can be trusted."""
    waiting: Timed | None = None
    for one in blocks:
        if waiting:
            yield *waiting, one[0]
        waiting = one
    if waiting:
        yield *waiting, None


def silence(frames: int, like: NDArray[np.float32], rate: int) -> Iterator[NDArray[np.float32]]:
    import numpy as np

    most = int(SILENCE * rate)
    for start in range(0, frames, most):
        yield np.zeros((min(most, frames - start), like.shape[1]), np.float32)
