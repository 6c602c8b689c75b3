"""How much of the speech `vad` finds by its defaults, and how little else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vad_accuracy import (
    FOUND,
    MOST_FALSE,
    SPEECH,
    WORDS,
    WORDS_MISSED,
    Counts,
    counts,
    f1,
    false_alarms,
    heard_by,
)
from vad_sets import CONDITIONS, SETS, Recording, gaussian, in_a_row, read

from speechkit.stages.vad.segmentation import DEFAULTS

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

shared = pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not here")
both_engines = pytest.mark.parametrize("engine", DEFAULTS)


def by_defaults(engine: str, recordings: list[Recording]) -> Counts:
    """[recordings, columns]"""
    return counts(heard_by(engine, recordings), DEFAULTS[engine])


def recall(total: Counts) -> float:
    return float(total[FOUND] / total[SPEECH])


@pytest.fixture(scope="module")
def bundled() -> list[Recording]:
    """The project's own sentences, with pauses between them, in every condition."""
    random = np.random.default_rng(1)
    files = sorted((ROOT / "examples" / "speech").rglob("*.flac"))
    samples, speech, pause = in_a_row([read(file) for file in files], random)
    assert 30 < speech.sum() / 100 < 60
    assert pause.sum() / 100 > 10
    hiss = gaussian(len(samples), -30, random)
    return [
        Recording("all", condition(samples, hiss, random).astype(np.float32), speech, pause, name)
        for name, condition in CONDITIONS.items()
    ]


@both_engines
def test_sentences_are_found_in_every_condition(engine: str, bundled: list[Recording]) -> None:
    for recording, found in zip(bundled, by_defaults(engine, bundled), strict=True):
        assert recall(found) >= 0.95, recording.part
        assert false_alarms(found) <= 2, recording.part


@both_engines
def test_silence_hiss_and_music_are_mostly_no_speech(engine: str) -> None:
    assert false_alarms(by_defaults(engine, SETS["tones"](DATA)).sum(axis=0)) <= MOST_FALSE


@shared
@both_engines
def test_noise_is_mostly_no_speech(engine: str) -> None:
    found = by_defaults(engine, SETS["noise"](DATA))
    assert false_alarms(found.sum(axis=0)) <= MOST_FALSE
    assert (false_alarms(found) < 12).all()


@shared
@pytest.mark.parametrize(("engine", "least_recall"), [("ten", 0.97), ("silero", 0.98)])
def test_conversations(engine: str, least_recall: float) -> None:
    found = by_defaults(engine, SETS["vad"](DATA)).sum(axis=0)
    assert recall(found) >= least_recall
    assert f1(found) >= 0.935


@shared
@pytest.mark.parametrize(("engine", "least_recall"), [("ten", 0.96), ("silero", 0.96)])
def test_conversations_thirty_decibels_down(engine: str, least_recall: float) -> None:
    recordings = [
        Recording(one.group, one.samples * np.float32(10**-1.5), one.speech, one.pause)
        for one in SETS["vad"](DATA)
    ]
    assert recall(by_defaults(engine, recordings).sum(axis=0)) >= least_recall


@shared
@pytest.mark.parametrize(("engine", "least_recall"), [("ten", 0.84), ("silero", 0.75)])
def test_meetings_from_afar(engine: str, least_recall: float) -> None:
    found = by_defaults(engine, SETS["ami"](DATA)).sum(axis=0)
    assert recall(found) >= least_recall
    assert f1(found) >= 0.85


@shared
@pytest.mark.parametrize(("engine", "most"), [("ten", 19), ("silero", 3)])
def test_single_words_are_hardly_missed(engine: str, most: int) -> None:
    """Every fourth recording, of all speakers and digits."""
    found = by_defaults(engine, SETS["digits"](DATA)[::4]).sum(axis=0)
    assert found[WORDS] == 500
    assert found[WORDS_MISSED] <= most
