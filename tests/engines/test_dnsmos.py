"""DNSMOS rates as PyPI's speechmos does, whatever the stretches in which the waveform comes."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import pytest

from audiokit import EXAMPLES
from speechkit.engines import dnsmos
from speechkit.engines.dnsmos import MEASURES, Dnsmos, windows
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineMissing
from speechkit.io.audio import load

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

NAMES = ("sig_mos", "bak_mos", "ovrl_mos", "p808_mos")  # those of `MEASURES`, in speechmos


def stretches(waveform: Waveform, length: int) -> list[Waveform]:
    return [waveform[first : first + length] for first in range(0, len(waveform), length)]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_librosa")
@pytest.mark.parametrize("seconds", [4.8, 11.5])  # repeated, and of two windows
def test_ratings_are_those_of_speechmos(seconds: float) -> None:
    original = pytest.importorskip("speechmos.dnsmos", exc_type=ImportError)
    files = sorted(EXAMPLES.glob("*/*.flac"))
    recordings = [load(str(path), sample_rate=SAMPLE_RATE) for path in files]
    waveform = np.concatenate([recording.waveform for recording in recordings])
    waveform = waveform[: int(seconds * SAMPLE_RATE)]
    expected = original.run(waveform, SAMPLE_RATE)
    found = Dnsmos().ratings(stretches(waveform, 7001))
    assert list(found) == list(MEASURES)
    assert list(found.values()) == pytest.approx([expected[name] for name in NAMES], abs=1e-3)
    assert 2 < found["mos_overall"] < 5


@pytest.mark.parametrize("length", [999, 160_000, 10**7])
def test_windows_are_those_of_speechmos(length: int) -> None:
    """The 8th to the 24th window are left out, as its arithmetic does."""
    seconds = np.repeat(np.arange(37, dtype=np.float32) / 100, SAMPLE_RATE)
    expected = [*range(7), *range(24, 28)]
    for waveform, starts in ((seconds, expected), (seconds[:-1], expected[:-1])):
        found = [*windows(stretches(waveform, length))]
        assert {window.shape for window in found} == {(144_160,)}
        assert [round(100 * float(window[0])) for window in found] == starts


def test_a_short_waveform_is_repeated() -> None:
    (window,) = windows([np.linspace(-1, 1, 76_800, dtype=np.float32)])  # 4.8 s
    assert np.array_equal(window[76_800:], window[: 144_160 - 76_800])


def test_no_samples_have_no_windows() -> None:
    assert [*windows([np.empty(0, np.float32)])] == []


def test_missing_weights_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(EngineMissing, match=r"pip install 'speechkit\[mos\]'"):
        Dnsmos()


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("speechmos", exc_type=ImportError)
    monkeypatch.setattr(dnsmos, "P835", (dnsmos.P835[0], "0" * 64))
    with pytest.raises(EngineMissing, match=r"should be 0000.*--force-reinstall"):
        Dnsmos()
