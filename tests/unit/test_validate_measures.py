"""What validate measures, on signals of which the right values are known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from audiokit import EXAMPLES
from speechkit.errors import AudioInvalid
from speechkit.io import audio
from speechkit.stages.validate.measures import Measures
from speechkit.stages.validate.rules import MEASURES, RULES, findings, infinite, rounded

RATE = 16_000  # Hz
DOCS = Path(__file__).resolve().parents[2] / "docs" / "validate.md"
Sound = NDArray[np.float32]


def measured(sound: Sound, rate: int = RATE, blocks: Iterable[int] = ()) -> dict[str, Any]:
    """``sound`` [frames] or [frames, channels], in blocks that end at these frames."""
    measures = Measures(rate)
    for block in np.split(sound if sound.ndim == 2 else sound[:, None], [*blocks]):
        measures.add(block.astype(np.float32))
    return measures.results()


def tone(frequency: float, seconds: float = 3.0, level: float = 0.1, rate: int = RATE) -> Sound:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(seconds: float = 3.0, level: float = 0.1, rate: int = RATE, seed: int = 1) -> Sound:
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(round(seconds * rate))).astype(np.float32)


def speech() -> Sound:
    samples, rate = soundfile.read(EXAMPLES / "awb" / "train.flac", dtype="float32")
    assert rate == RATE
    return samples


# ---- Loudness ----


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000])
def test_loudness_is_that_of_pyloudnorm(rate: int) -> None:
    meter = pytest.importorskip("pyloudnorm").Meter(rate)
    spoken = soxr.resample(speech(), RATE, rate)
    loud = np.concatenate((0.01 * spoken, spoken))  # the first half does not pass the gate
    offset = 0.3 * spoken[: int(1.27 * rate)] + 0.2  # with a DC offset, and a step not filled
    for sound in (spoken, loud, offset, noise(0.4, rate=rate), tone(997, 2.05, 1.0, rate)):
        right = meter.integrated_loudness(sound.astype(np.float64))
        assert measured(sound, rate)["loudness"] == pytest.approx(right, abs=0.02)


def test_loudness_of_channels_is_that_of_pyloudnorm() -> None:
    meter = pytest.importorskip("pyloudnorm").Meter(RATE)
    channels = np.stack([noise(seed=seed, level=0.02 * (seed + 1)) for seed in range(5)], axis=1)
    right = meter.integrated_loudness(channels.astype(np.float64))
    assert measured(channels)["loudness"] == pytest.approx(right, abs=0.02)


def test_loudness_of_short_clips_and_of_silence() -> None:
    """A sine of 997 Hz of full scale has -3.01 LUFS."""
    assert measured(tone(997, 0.2, 1.0))["loudness"] == pytest.approx(-3.01, abs=0.2)
    assert measured(np.zeros(RATE, np.float32))["loudness"] == -np.inf
    assert rounded({"loudness": -np.inf}) == {"loudness": None}


# ---- Levels and channels ----


def test_peak_and_offset() -> None:
    line = measured(tone(100, 2.0, 0.5) + 0.02)
    assert line["peak"] == pytest.approx(20 * np.log10(0.52), abs=0.01)
    assert line["dc_offset"] == pytest.approx(2.0, abs=0.01)
    stereo = np.stack([tone(100), tone(100) - 0.05], axis=1)
    assert measured(stereo)["dc_offset"] == pytest.approx(5.0, abs=0.01), "not that of the mix"
    moving = tone(100, 42.0)
    moving[: 20 * RATE] += 0.05
    moving[20 * RATE :] -= 0.04
    moving[40 * RATE :] = 0.9  # less than a window
    assert measured(moving)["dc_offset"] == pytest.approx(5.0, abs=0.01), "of the worst 10 s"


@pytest.mark.parametrize("floor", [0.0, 1e-5, 3e-4])
def test_silence_is_what_is_far_below_the_rest(floor: float) -> None:
    sound = np.concatenate((noise(1.0), floor * noise(3.0, 1.0)))
    assert measured(sound + 0.03)["silence"] == pytest.approx(0.75, abs=0.02)
    assert measured(noise())["silence"] == 0
    assert measured(np.zeros(RATE, np.float32))["silence"] == 1


@pytest.mark.parametrize("value", [11.0, 1e19, -1e30, 3e38])
def test_samples_far_above_full_scale_end_the_measurement(value: float) -> None:
    measures = Measures(RATE, "a.wav")
    measures.add(noise()[:, None])
    with pytest.raises(AudioInvalid, match=r"a\.wav: has samples of"):
        measures.add(np.array([[0.1], [value]], np.float32))
    found = measures.results()
    assert found.pop("peak") == pytest.approx(20 * np.log10(abs(value)), abs=1e-3)
    assert found == {"sample_rate": RATE, "channels": 1, "fault": "out_of_range"}


def test_channels_against_each_other() -> None:
    one, other = noise(seed=1), noise(seed=2)

    def difference_and_balance(*channels: Sound) -> list[float]:
        line = measured(np.stack(channels, axis=1))
        return [round(line["channel_difference"], 1), round(line["channel_balance"], 1)]

    assert difference_and_balance(one, one) == [-120, 0]
    assert difference_and_balance(one, -one) == [6, 0]
    assert difference_and_balance(one, 0 * one) == [0, -120]
    assert difference_and_balance(one, one + 0.001 * other) == [-60, 0]
    assert difference_and_balance(one, other, one) == [-120, pytest.approx(0, abs=0.1)]
    assert "channel_difference" not in measured(one)


# ---- Spectrum ----


@pytest.mark.parametrize("seconds", [0.3, 3.0])
@pytest.mark.parametrize(("low", "rate"), [(8000, 16_000), (8000, 48_000), (16_000, 44_100)])
def test_bandwidth_of_sound_at_a_higher_rate(low: int, rate: int, seconds: float) -> None:
    spoken = soxr.resample(speech(), RATE, low)[: round(seconds * low)]
    line = measured(soxr.resample(spoken, low, rate), rate)
    assert 0.85 * low / 2 <= line["bandwidth"] <= 1.1 * low / 2
    whole = measured(spoken, low)
    assert whole["bandwidth"] == low / 2
    assert whole["bandwidth_used"] == 1


def test_bandwidth_of_anything_else_is_all() -> None:
    for sound in (noise(), noise(0.2), speech()[: RATE // 4], tone(300) + noise(level=1e-4)):
        assert measured(sound)["bandwidth_used"] == 1
    assert measured(np.zeros(RATE, np.float32))["bandwidth"] is None


@pytest.mark.parametrize("mains", [50, 60])
@pytest.mark.parametrize("harmonics", [(1,), (1, 2, 3), (2, 3, 4)])
def test_hum(mains: int, harmonics: tuple[int, ...]) -> None:
    sound = speech() if harmonics == (1,) else noise(4.0)
    amplitude = 0.1 * np.sqrt(2 * np.square(sound).mean())  # a line has -20 dB
    hum = sum(tone(k * mains, len(sound) / RATE, amplitude) for k in harmonics)
    line = measured(sound + hum)
    counted = sum(k <= 3 for k in harmonics)
    assert line["hum"] == pytest.approx(-20 + 10 * np.log10(counted), abs=1)
    assert line["hum_frequency"] == mains


def test_what_is_no_hum() -> None:
    voice = sum(tone(100 * k, 4.0, 0.1 / k) for k in range(1, 20))  # of one pitch all the time
    for sound in (speech(), noise(), voice + noise(4.0, 1e-3), np.zeros(2 * RATE, np.float32)):
        assert measured(sound)["hum"] is None
    assert measured(tone(50, 0.9))["hum"] is None, "too short to tell"


# ---- Defects ----


@pytest.mark.parametrize("gain", [1.0, 0.31, 0.05])
@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_flat_tops_at_any_level(rate: int, gain: float) -> None:
    spoken = soxr.resample(speech(), RATE, rate)
    limit = 0.4 * np.abs(spoken).max()
    clipped = np.clip(spoken, -limit, limit)
    right = 100 * (np.abs(clipped) >= limit).mean()
    stored = np.rint(clipped / limit * gain * 32767) / 32768
    assert measured(stored, rate)["clipping"] == pytest.approx(right, rel=0.4)


@pytest.mark.parametrize("blocks", [[], [20_000, 40_100]])
def test_the_second_with_most_flat_tops_is_named(blocks: list[int]) -> None:
    sound = tone(100, 5.0, level=0.5)
    for second, top in ((1, 0.45), (3, 0.2)):
        part = sound[second * RATE : (second + 1) * RATE]
        part[:] = part.clip(-top, top)
    assert 3.0 <= measured(sound, blocks=blocks)["clipping_at"] < 3.02


def test_what_is_not_clipped() -> None:
    tones = [tone(f, level=a, rate=r) for f in (50, 440) for a in (0.02, 1) for r in (8000, 48_000)]
    stored = [np.rint(sound * 32767) / 32768 for sound in [*tones, speech(), noise()]]
    coarse = np.rint(speech() * 127) / 128  # 8 bits
    for sound in (*tones, *stored, coarse, np.zeros(RATE), np.full(RATE, 0.5)):
        assert measured(sound)["clipping"] == 0


@pytest.mark.parametrize("milliseconds", [2, 20, 150])
def test_lost_samples(milliseconds: int) -> None:
    spoken = speech()
    loud = np.convolve(np.square(spoken), np.ones(800), "same")
    places = [place for place in range(RATE, 4 * RATE, RATE) if loud[place] > 0.1 * loud.max()]
    assert places
    for start in places:
        spoken[start : start + milliseconds * RATE // 1000] = 0
    assert measured(spoken)["dropouts"] == len(places)


@pytest.mark.parametrize(("seconds", "found"), [(0.25, 1), (0.9, 1), (1.1, 0)])
def test_longer_losses_are_found_where_sound_breaks_off(seconds: float, found: int) -> None:
    sound = noise()
    sound[RATE : RATE + round(seconds * RATE)] = 0
    assert measured(sound)["dropouts"] == found
    faded = sound.copy()
    faded[RATE - 160 : RATE] *= np.linspace(1, 0.01, 160) ** 2
    assert measured(faded)["dropouts"] == 0


def test_what_is_no_loss() -> None:
    gated = np.where(np.convolve(np.square(speech()), np.ones(400) / 400, "same") > 1e-5, 1, 0)
    words = np.concatenate((noise(0.3), np.zeros(3 * RATE // 2), noise(0.3)))  # a pause
    clipped = np.clip(tone(100, level=5.0), -1, 1)
    coarse = np.rint(speech() * 127) / 128
    for sound in (speech(), speech() * gated, words, clipped, coarse, np.zeros(RATE)):
        assert measured(sound)["dropouts"] == 0


def test_samples_that_are_no_numbers_are_counted() -> None:
    sound = noise()
    sound[[100, 200, 20_000]] = np.nan, np.inf, -np.inf
    line = measured(sound, blocks=[10_000])
    fault = {"fault": "not_finite", "nonfinite": 3}
    assert line == {"sample_rate": RATE, "channels": 1, **fault}


# ---- All of them ----


def test_blocks_change_nothing() -> None:
    sound = np.stack([speech(), np.roll(speech(), 77) * 0.5], axis=1)
    sound[30_000:30_200] = 0
    whole = rounded(measured(sound))
    for blocks in ([30_050], [30_000, 30_100], range(700, len(sound), 700), [len(sound)]):
        assert rounded(measured(sound, blocks=blocks)) == whole
    assert whole["dropouts"] == 1
    assert whole["dropouts_at"] == pytest.approx(30_000 / RATE, abs=1e-3)


@pytest.mark.parametrize("rate", [1000, 8000, 11_025, 96_000, 768_000])
@pytest.mark.parametrize("frames", [1, 2, 3, 100])
def test_a_few_samples_at_any_rate(rate: int, frames: int) -> None:
    line = rounded(measured(noise(1.0, rate=rate)[:frames], rate))
    assert line["peak"] <= 0
    assert line["clipping"] == line["dropouts"] == 0


def test_nothing_at_all() -> None:
    assert Measures(RATE).results() == {"sample_rate": RATE, "channels": 0}


def test_the_measures_see_the_file_as_it_is(tmp_path: Path) -> None:
    """At its own rate, with all channels, decoded once."""
    path = tmp_path / "stereo.wav"
    sound = np.stack([noise(2.0, rate=44_100), noise(2.0, rate=44_100, seed=2)], axis=1)
    soundfile.write(path, sound, 44_100, subtype="FLOAT")
    passes: list[Measures] = []

    def observe(rate: int) -> Measures:
        passes.append(Measures(rate))
        return passes[-1]

    loaded = audio.load(str(path), offset=0.5, duration=1.0, sample_rate=RATE, observe=observe)
    assert loaded.observer is passes[-1]
    assert len(passes) == 1
    right = measured(sound[22_050 : 22_050 + 44_100], 44_100)
    assert passes[-1].results() == right
    assert audio.load(str(path), sample_rate=RATE).observer is None


# ---- Rules ----


def test_every_rule_reads_a_measure() -> None:
    known = {measure.name for measure in MEASURES} | {"duration"}
    flags = {"damaged", "header_disagrees", "channels_cancel"}
    assert {rule.measure for rule in RULES} <= known | flags
    options = [rule.option for rule in RULES if rule.option]
    assert len(options) == len(set(options))
    names = {rule.name for rule in RULES}
    assert len(names) == len(RULES)
    for rule in RULES:
        assert {*rule.hides, rule.requires} <= names | {""}


def _rows(page: str) -> dict[str, list[str]]:
    """The cells of a table's rows by their first one."""
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def test_the_documentation_names_every_rule_and_measure() -> None:
    rules, measures = map(_rows, DOCS.read_text().split("## Measures"))
    assert measures == {measure.name: [measure.unit, measure.meaning] for measure in MEASURES}
    assert [*rules] == [rule.name for rule in RULES]
    for rule in RULES:
        kind, meaning, option, default = rules[rule.name]
        assert (kind == "issue") == rule.blocking
        assert meaning == rule.meaning
        assert option.strip("`-").replace("-", "_") == rule.option
        if rule.option and rule.threshold is not None:
            assert float(default.split()[0]) == rule.threshold


def test_graver_findings_take_the_place_of_others() -> None:
    narrow = {"duration": 5.0, "bandwidth": 4000.0, "bandwidth_used": 0.5}
    assert findings(narrow, {}) == (["narrow_band"], [])
    assert findings(narrow, {"min_bandwidth": 3000}) == ([], ["low_pass"])
    assert findings(narrow, {"min_bandwidth_used": 0.4}) == ([], [])
    assert findings(narrow | {"duration": 0.15}, {}) == ([], [])


def test_a_loudness_below_the_gate_is_low_unless_all_is_silence() -> None:
    quiet = {"duration": 5.0, "loudness": -np.inf, "silence": 0.6}
    assert findings(quiet, {}) == ([], ["level_low"])
    assert findings(quiet | {"silence": 1.0}, {}) == (["mostly_silence"], [])
    assert infinite({"loudness": -np.inf, "peak": -90.0, "snr": None}) == {"loudness": -np.inf}


def test_what_could_not_be_measured_is_no_finding() -> None:
    assert findings({"duration": 5.0, "snr": None, "bandwidth_used": None}, {}) == ([], [])
    assert findings({"duration": 5.0}, {"max_duration": 4.0}) == (["too_long"], [])
