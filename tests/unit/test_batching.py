from __future__ import annotations

from itertools import count, islice
from pathlib import Path

import numpy as np
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechkit.records import Utterance
from speechkit.runtime.batching import MOST, UNKNOWN_SECONDS, WINDOW, batches, seconds


def utterances(durations: list[float | None]) -> list[Utterance]:
    return [Utterance(i, "/a", duration=d) for i, d in enumerate(durations)]


@given(st.lists(st.none() | st.floats(0.01, 100), max_size=60), st.floats(0.1, 200))
def test_every_utterance_comes_once_in_batches_that_fit(
    durations: list[float | None], batch_audio: float
) -> None:
    given = utterances(durations)
    made = list(batches(given, batch_audio))
    assert sorted(u.index for batch in made for u in batch) == list(range(len(given)))
    for batch in made:
        assert batch
        total = sum(u.duration or 10.0 for u in batch)
        assert len(batch) == 1 or total <= batch_audio * (1 + 1e-9)
    lengths = [u.duration or 10.0 for batch in made for u in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_a_batch_holds_a_limited_number() -> None:
    assert {len(batch) for batch in batches(utterances([0.001] * (MOST * 3)), 1e6)} == {MOST}


def test_the_input_is_read_no_further_than_a_window() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        for i in count():
            taken += 1
            yield Utterance(i, "/a", duration=5.0)

    list(islice(batches(endless(), 10.0), 3))  # type: ignore[arg-type]
    assert taken <= WINDOW + 1


def test_a_large_file_counts_as_long_as_its_header_says(tmp_path: Path) -> None:
    long, short = tmp_path / "long.wav", tmp_path / "short.wav"
    soundfile.write(long, np.zeros(16_000 * 60, np.float32), 16_000)
    soundfile.write(short, np.zeros(16_000, np.float32), 16_000)
    (tmp_path / "broken.wav").write_bytes(bytes(2_000_000))
    assert seconds(Utterance(0, str(long))) == 60.0
    assert seconds(Utterance(0, str(long), offset=50.0)) == 10.0
    assert seconds(Utterance(0, str(long), duration=3.0)) == 3.0
    for unknown in (short, tmp_path / "broken.wav", tmp_path / "none.wav"):
        assert seconds(Utterance(0, str(unknown))) == UNKNOWN_SECONDS


@given(st.integers(1, 40), st.integers(1, 7))
def test_no_batch_has_more_utterances_than_asked_for(count: int, most: int) -> None:
    made = list(batches(utterances([1.0] * count), 1000.0, most))
    assert [len(batch) for batch in made[:-1]] == [most] * (len(made) - 1)
    assert sum(map(len, made)) == count
