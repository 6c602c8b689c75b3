"""Files as recorders, phones, streams and editors leave them: all of each is read, and on the clock
that a player shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audiokit import ffmpeg, write_silence
from speechkit.errors import AudioInvalid, AudioTruncated, AudioUnreadable
from speechkit.io import audio, decoding

RATE = 16_000
Waveform = NDArray[np.float32]


@pytest.fixture(scope="module")
def first(examples: Path) -> Path:
    return examples / "rms" / "bridge.flac"  # 6.05 s


@pytest.fixture(scope="module")
def second(examples: Path) -> Path:
    return examples / "awb" / "train.flac"  # 4.32 s


def samples(file: Path) -> Waveform:
    found, rate = soundfile.read(file, dtype="float32")
    assert rate == RATE
    return found


def likeness(heard: Waveform, original: Waveform, at: float) -> float:
    """The best correlation of the original with what is heard ``at`` seconds, give or take 0.1."""
    start = round(at * RATE)
    return max(
        float(np.corrcoef(heard[first : first + len(original)], original)[0, 1])
        for first in range(max(0, start - 1600), start + 1601, 2)
        if first + len(original) <= len(heard)
    )


def load(file: Path, **options: object) -> audio.Audio:
    loaded = audio.load(str(file), sample_rate=RATE, **options)  # type: ignore[arg-type]
    if not options:
        probed = audio.probe(str(file))
        assert abs(probed.duration - loaded.seconds) < 0.03
        assert set(probed.flags) <= set(loaded.flags)
    return loaded


# ---------------------------------------------------------------- headers that count for less


def joined(tmp_path: Path, first: Path, second: Path, suffix: str, codec: str = "") -> Path:
    parts = [tmp_path / f"{number}{suffix}" for number in (1, 2)]
    for source, part in zip((first, second), parts, strict=True):
        ffmpeg("-i", source, *codec.split(), part)
    whole = tmp_path / f"joined{suffix}"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp3", "-b:a 64k"),
        (".mp3", "-write_xing 0 -q:a 5"),
        (".flac", ""),
        (".wav", ""),
        (".aiff", ""),
        (".au", ""),
        (".ogg", "-c:a libvorbis"),
        (".opus", "-c:a libopus"),
        (".oga", "-c:a flac"),
        (".aac", ""),
        (".ts", "-c:a aac"),
        (".mka", "-c:a libopus"),
        (".m4a", ""),
        (".w64", ""),
        (".tta", ""),
        (".flv", "-ar 44100"),
        (".wma", ""),
        (".avi", "-c:a libmp3lame"),
        (".avi", "-f lavfi -i testsrc=d=6:s=64x64:r=5 -c:a libmp3lame -c:v mpeg4"),
    ],
)
def test_files_joined_as_they_are_give_all_of_both_or_say_that_they_do_not(
    tmp_path: Path, first: Path, second: Path, suffix: str, codec: str
) -> None:
    file = joined(tmp_path, first, second, suffix, codec)
    found = load(file)
    both = (len(samples(first)) + len(samples(second))) / RATE
    has_all = found.seconds > both - 0.1
    assert has_all or "header_disagrees" in found.flags
    if suffix not in (".aiff", ".m4a", ".w64", ".tta", ".flv", ".wma", ".avi"):  # read in part
        assert has_all
        assert likeness(found.waveform, samples(first)[:RATE], 0.0) > 0.95
    if suffix in (".mp3", ".flac", ".wav") and "write_xing" not in codec:
        assert "header_disagrees" in found.flags
    if has_all:
        part = audio.load(str(file), offset=6.5, duration=3.0, sample_rate=RATE).waveform
        assert likeness(part[:RATE], found.waveform[round(6.5 * RATE) :][: RATE - 400], 0.0) > 0.9


def test_a_joined_file_of_which_a_manifest_wants_the_first_part_is_flagged(
    tmp_path: Path, first: Path, second: Path
) -> None:
    for suffix in (".mp3", ".flac", ".wav"):
        file = joined(tmp_path, first, second, suffix)
        part = load(file, duration=len(samples(first)) / RATE)
        assert part.seconds == pytest.approx(6.055, abs=0.001)
        assert part.flags == ("header_disagrees",)
        assert (load(file, duration=3.0).flags == ()) == (suffix != ".wav")


def test_a_xing_header_that_counts_too_few_or_too_many(tmp_path: Path, first: Path) -> None:
    file = tmp_path / "x.mp3"
    ffmpeg("-i", first, "-b:a", "64k", file)
    honest = load(file)
    assert honest.flags == ()
    raw = bytearray(file.read_bytes())
    at = max(raw.find(b"Xing"), raw.find(b"Info")) + 8
    frames = int.from_bytes(raw[at : at + 4], "big")
    for claimed in (frames // 10, 1, frames * 10):
        raw[at : at + 4] = claimed.to_bytes(4, "big")
        file.write_bytes(raw)
        found = load(file)
        assert found.seconds == pytest.approx(honest.seconds, abs=0.1)
        assert found.flags == ("header_disagrees",) or claimed == 1  # which nobody believes


@pytest.mark.parametrize("size", [0, 1000, 0xFFFFFFFF])
def test_a_wav_whose_recorder_never_wrote_its_length(
    tmp_path: Path, first: Path, size: int
) -> None:
    file = tmp_path / "crashed.wav"
    ffmpeg("-i", first, "-map_metadata", "-1", "-fflags", "+bitexact", file)
    raw = bytearray(file.read_bytes())
    at = raw.find(b"data")
    raw[4:8] = raw[at + 4 : at + 8] = size.to_bytes(4, "little")
    file.write_bytes(raw)
    found = load(file)
    assert np.array_equal(found.waveform, samples(first))
    assert found.flags == (() if size == 0xFFFFFFFF else ("header_disagrees",))


@pytest.mark.parametrize("tags", ["LIST", "id3 ", "TAG", "zeros"])
def test_what_lies_behind_the_sound_of_a_healthy_file_is_no_sound(
    tmp_path: Path, first: Path, tags: str
) -> None:
    text = b"a remark of a hundred bytes and more " * 30
    behind = {
        "LIST": b"LIST" + len(text).to_bytes(4, "little") + text,
        "id3 ": b"id3 " + len(text).to_bytes(4, "little") + text,
        "TAG": b"TAG" + bytes(125),
        "zeros": bytes(5000),
    }
    for suffix in (".wav", ".flac", ".mp3"):
        file = tmp_path / f"tagged{suffix}"
        ffmpeg("-i", first, file)
        plain = load(file)
        file.write_bytes(file.read_bytes() + behind[tags])
        found = load(file)
        assert found.seconds == plain.seconds
        assert found.flags == ()


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".mka", ".wav"])
def test_a_file_joined_with_itself(tmp_path: Path, first: Path, suffix: str) -> None:
    file = joined(tmp_path, first, first, suffix)
    found = audio.load(str(file), sample_rate=RATE)
    assert found.seconds == pytest.approx(12.11, abs=0.2)
    assert "header_disagrees" in found.flags
    stated = audio.probe(str(file))
    listed = audio.load(str(file), sample_rate=RATE, duration=stated.duration)
    assert listed.seconds > 12 or suffix == ".flac"
    assert "header_disagrees" in (*stated.flags, *listed.flags)


@pytest.mark.parametrize("suffix", [".aiff", ".caf", ".au"])
def test_bytes_that_no_decoder_reads_are_told(tmp_path: Path, first: Path, suffix: str) -> None:
    file = tmp_path / f"more{suffix}"
    ffmpeg("-i", first, file)
    healthy = load(file)
    assert healthy.flags == ()
    noise = np.random.default_rng(4).bytes(40_000)
    file.write_bytes(file.read_bytes() + noise)
    found = audio.load(str(file), sample_rate=RATE)
    assert found.seconds >= healthy.seconds
    assert found.flags == ("header_disagrees",)


def test_a_slice_that_begins_within_a_gap(tmp_path: Path, first: Path) -> None:
    file = tmp_path / "gap.webm"
    ffmpeg("-i", first, "-af", "aselect='not(between(t,2,4))'", "-c:a", "libopus", file)
    whole = load(file)
    assert whole.flags == ("damaged",)
    for offset, duration in ((3.0, 0.5), (3.0, 2.0), (1.5, 3.0)):
        part = audio.load(str(file), sample_rate=RATE, offset=offset, duration=duration)
        expected = whole.waveform[round(offset * RATE) :][: len(part.waveform)]
        assert part.seconds == duration
        if duration == 0.5:
            assert not part.waveform.any()
        else:
            assert np.corrcoef(part.waveform[8000:], expected[8000:])[0, 1] > 0.98


def test_two_tracks_of_an_ogg_file(tmp_path: Path, first: Path, second: Path) -> None:
    file = tmp_path / "two.ogg"
    ffmpeg("-i", first, "-i", second, "-map", 0, "-map", 1, "-c:a", "libopus", file)
    assert "other_tracks" in audio.load(str(file), sample_rate=RATE).flags
    assert audio.load(str(file), sample_rate=RATE, track="2").seconds == pytest.approx(
        4.32, abs=0.1
    )


def test_an_mp3_of_varying_rate_that_states_no_length_is_healthy(
    tmp_path: Path, first: Path
) -> None:
    file = tmp_path / "vbr.mp3"
    ffmpeg("-i", first, "-write_xing", 0, "-q:a", 5, file)
    found = load(file)
    assert found.seconds == pytest.approx(6.055, abs=0.2)
    assert found.flags == ()


def test_an_ogg_behind_what_is_left_of_another_is_heard(
    tmp_path: Path, first: Path, second: Path
) -> None:
    file = joined(tmp_path, first, second, ".ogg", "-c:a libvorbis")
    torn, behind = (part.read_bytes() for part in (tmp_path / "1.ogg", tmp_path / "2.ogg"))
    file.write_bytes(torn[: len(torn) // 2] + behind)
    found = load(file)
    assert "header_disagrees" in found.flags
    assert likeness(found.waveform, samples(second)[RATE : 2 * RATE], found.seconds - 3.32) > 0.95


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".wav", "-rf64 always"),
        (".w64", ""),
        (".caf", "-c:a pcm_s16le"),
        (".au", ""),
        (".voc", ""),
        (".avi", "-c:a pcm_s16le"),
        (".wma", ""),
        (".flv", "-ar 44100"),
        (".mkv", "-f lavfi -i testsrc=d=6:s=64x64:r=5 -c:a libopus -c:v mpeg4"),
    ],
)
def test_what_is_left_of_a_file_is_flagged(
    tmp_path: Path, first: Path, suffix: str, options: str
) -> None:
    file = tmp_path / f"cut{suffix}"
    ffmpeg("-i", first, *options.split(), file)
    assert load(file).flags == ()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 6 // 10])
    found = load(file)
    assert 2.5 < found.seconds < 4.5
    assert "header_disagrees" in found.flags


@pytest.mark.parametrize(
    ("suffix", "options", "behind"),
    [
        (".wmv", "-f lavfi -i testsrc=d=8:s=64x64:r=5 -c:v wmv2", 0),
        (".avi", "-seekable 0 -c:a pcm_s16le", 0),
        (".m4a", "-metadata comment=how.ftyp.boxes.work", 0),
        (".tta", "-metadata comment=TTA1.test", 0),
        (".w64", "", 1000),
        (".voc", "", 1000),
        (".wma", "", 1000),
        (".opus", "-c:a libopus", 1000),
        (".wav", "-ar 8000 -c:a libgsm_ms", 0),
    ],
)
def test_a_healthy_file_has_no_flag(
    tmp_path: Path, first: Path, suffix: str, options: str, behind: int
) -> None:
    file = tmp_path / f"healthy{suffix}"
    ffmpeg("-i", first, *options.split(), file)
    file.write_bytes(file.read_bytes() + bytes(behind))
    assert load(file).flags == ()


def test_mp3_in_wav(tmp_path: Path, second: Path) -> None:
    file = tmp_path / "mp3.wav"
    ffmpeg("-i", second, "-c:a", "libmp3lame", "-f", "wav", file)
    found = load(file)
    assert found.seconds == pytest.approx(4.32, abs=0.15)
    assert likeness(found.waveform, samples(second)[:RATE], 0.07) > 0.95


def test_mp3_is_decoded_in_blocks_without_a_seam(
    tmp_path: Path, first: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.mp3"
    ffmpeg("-i", first, "-b:a", "24k", file)
    whole = samples(file)
    monkeypatch.setattr("speechkit.io.decoders.sndfile.BLOCK", 0.5)
    assert np.allclose(load(file).waveform, whole, atol=1e-6)
    assert capfd.readouterr().err == ""


def test_a_flac_that_does_not_state_its_length(tmp_path: Path, first: Path) -> None:
    file = tmp_path / "streamed.flac"
    file.write_bytes(ffmpeg("-i", first, "-f", "flac", "-"))
    found = load(file)
    assert np.array_equal(found.waveform, samples(first))
    assert found.flags == ()
    part = load(file, offset=2.0, duration=1.0)
    assert np.array_equal(part.waveform, samples(first)[2 * RATE : 3 * RATE])


def test_damaged_frames_of_a_flac_are_silence_as_long(tmp_path: Path, first: Path) -> None:
    """Be its length stated or not; those at its beginning where it is."""
    stated, streamed = tmp_path / "stated.flac", tmp_path / "streamed.flac"
    ffmpeg("-i", first, stated)
    streamed.write_bytes(ffmpeg("-i", first, "-f", "flac", "-"))
    for file, start in ((stated, 9000), (stated, 30_000), (streamed, 30_000)):
        raw = bytearray(file.read_bytes())
        raw[start : start + 2000] = bytes(2000)
        damaged = tmp_path / "damaged.flac"
        damaged.write_bytes(raw)
        found = load(damaged)
        assert "damaged" in found.flags
        assert found.samples == len(samples(first))
        assert np.array_equal(found.waveform[-2 * RATE :], samples(first)[-2 * RATE :])


def test_a_flac_that_states_more_than_any_recording_holds(tmp_path: Path, first: Path) -> None:
    raw = bytearray(first.read_bytes())
    assert raw[:4] == b"fLaC"
    file = tmp_path / "claims.flac"
    place = slice(4 + 4 + 10, 4 + 4 + 18)  # rate 20 bits, channels 3, width 5, samples 36
    value = int.from_bytes(raw[place], "big")
    raw[place] = (value | (1 << 36) - 1).to_bytes(8, "big")
    file.write_bytes(raw)
    with pytest.raises(AudioTruncated, match=r"4294967\.30 s expected"):
        load(file)
    raw[place] = ((1 << 44) | (value & (1 << 44) - 1) | (1 << 36) - 1).to_bytes(8, "big")
    file.write_bytes(raw)
    with pytest.raises((AudioInvalid, AudioUnreadable)):
        load(file)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 4_000_000_000])
def test_a_rate_that_no_recorder_has_costs_no_memory(tmp_path: Path, rate: int) -> None:
    file = tmp_path / "rate.wav"
    soundfile.write(file, np.zeros(100_000), RATE, subtype="PCM_16")
    raw = bytearray(file.read_bytes())
    raw[24:28] = rate.to_bytes(4, "little")
    file.write_bytes(raw)
    with pytest.raises((AudioInvalid, AudioUnreadable), match=r"rate\.wav: "):
        load(file)


def test_a_matroska_header_that_states_less(tmp_path: Path, first: Path) -> None:
    file = tmp_path / "short.mka"
    ffmpeg("-i", first, "-c:a", "pcm_s16le", file)
    raw = file.read_bytes()
    at = raw.find(b"\x44\x89\x88") + 3  # Duration, 8 bytes
    file.write_bytes(raw[:at] + np.array(2000.0, ">f8").tobytes() + raw[at + 8 :])
    found = load(file)
    assert found.seconds == pytest.approx(6.055, abs=0.01)
    assert found.flags == ("header_disagrees",)


# ---------------------------------------------------------------- tracks


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, first: Path, second: Path) -> Path:
    file = tmp_path_factory.mktemp("films") / "film.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc=d=6:s=64x64:r=5")
    maps = ("-map", "0:v", "-map", "1:a", "-map", "2:a")
    languages = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng")
    default = ("-disposition:a:0", "0", "-disposition:a:1", "default")
    codecs = ("-c:v", "mpeg4", "-c:a", "flac")
    ffmpeg(*picture, "-i", first, "-i", second, *maps, *codecs, *languages, *default, file)
    return file


@pytest.mark.parametrize(
    ("track", "number"), [(None, 2), ("1", 1), ("2", 2), ("ger", 1), ("ENG", 2)]
)
def test_the_default_track_or_the_one_that_is_asked_for(
    film: Path, first: Path, second: Path, track: str | None, number: int
) -> None:
    found = audio.load(str(film), sample_rate=RATE, track=track)
    expected = samples((first, second)[number - 1])
    assert np.allclose(found.waveform[: len(expected)], expected, atol=1e-4)
    assert found.flags == (("other_tracks",) if track is None else ())
    assert audio.probe(str(film), track=track).flags == found.flags


def test_a_track_that_is_not_there_and_a_film_without_sound(
    tmp_path: Path, film: Path, first: Path
) -> None:
    for track in ("3", "0", "fre"):
        with pytest.raises(AudioInvalid, match=f"no audio track {track}, only 1 ger, 2 eng"):
            audio.load(str(film), sample_rate=RATE, track=track)
    with pytest.raises(AudioInvalid, match="no audio track 2, only 1 und"):
        audio.load(str(first), sample_rate=RATE, track="2")
    mute = tmp_path / "mute.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=2:s=64x64:r=5", "-c:v", "mpeg4", mute)
    with pytest.raises(AudioUnreadable, match="holds no audio track"):
        load(mute)


# ---------------------------------------------------------------- the clock


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_sound_that_begins_later_than_the_film(tmp_path: Path, first: Path, suffix: str) -> None:
    file = tmp_path / f"late{suffix}"
    picture = ("-f", "lavfi", "-i", "testsrc=d=11:s=64x64:r=5")
    codecs = ("-map", "0:v", "-map", "1:a", "-c:v", "mpeg4", "-c:a", "aac")
    ffmpeg(*picture, "-itsoffset", 4, "-i", first, *codecs, file)
    found = load(file)
    assert found.seconds == pytest.approx(10.05, abs=0.1)
    assert not found.waveform[: round(3.9 * RATE)].any()
    assert likeness(found.waveform, samples(first)[: 2 * RATE], 4.0) > 0.9
    assert found.flags == ()
    part = load(file, offset=5.0, duration=1.0).waveform
    assert likeness(found.waveform, part[800:-800], 5.05) > 0.99


def test_packets_that_are_missing_give_silence(tmp_path: Path, first: Path, second: Path) -> None:
    parts = [tmp_path / "1.ts", tmp_path / "2.ts"]
    ffmpeg("-i", first, "-c:a", "aac", parts[0])
    ffmpeg("-itsoffset", 20, "-i", second, "-c:a", "aac", parts[1])
    file = tmp_path / "hole.ts"
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = load(file)
    assert found.flags == ("damaged",)
    assert likeness(found.waveform, samples(second)[: 2 * RATE], 20.0) > 0.9
    assert not found.waveform[7 * RATE : 19 * RATE].any()
    part = load(file, offset=21.0, duration=1.0).waveform
    assert likeness(found.waveform, part, 21.0) > 0.99


def test_a_clock_that_is_set_back_loses_nothing(tmp_path: Path, first: Path, second: Path) -> None:
    file = joined(tmp_path, first, second, ".ts", "-c:a aac")
    found = load(file)
    assert found.seconds == pytest.approx(10.4, abs=0.2)
    assert likeness(found.waveform, samples(second)[: 2 * RATE], found.seconds - 4.4) > 0.9


def test_one_packet_with_a_wrong_time_moves_nothing(tmp_path: Path, first: Path) -> None:
    file = tmp_path / "jump.mka"
    ffmpeg("-i", first, "-c:a", "pcm_s16le", "-cluster_time_limit", "500", file)
    raw = bytearray(file.read_bytes())
    clusters = [at for at in range(len(raw)) if raw[at : at + 4] == b"\x1f\x43\xb6\x75"]
    block = raw.find(b"\xa3", clusters[3])
    time = raw.find(b"\x81", block) + 1  # of a block in its cluster, 16 bits, in ms
    raw[time : time + 2] = (30_000).to_bytes(2, "big")
    file.write_bytes(raw)
    found = load(file)
    assert found.seconds == pytest.approx(6.055, abs=0.1)


# ---------------------------------------------------------------- streams that change, channels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".aac", "-c:a aac"), (".ts", "-c:a aac"), (".mp3", "-b:a 64k")]
)
def test_a_stream_that_changes_on_the_way(
    tmp_path: Path, first: Path, second: Path, suffix: str, codec: str
) -> None:
    parts = [tmp_path / f"{number}{suffix}" for number in (1, 2)]
    ffmpeg("-i", first, *codec.split(), parts[0])
    ffmpeg("-i", second, *codec.split(), "-ar", 44_100, "-ac", 2, parts[1])
    file = tmp_path / f"changes{suffix}"
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = load(file)
    assert found.seconds == pytest.approx(10.4, abs=0.3)
    at = found.seconds - 4.32
    assert likeness(found.waveform, samples(second)[RATE : 2 * RATE], at + 1.0) > 0.9


def test_channels_that_cancel_each_other(tmp_path: Path, first: Path) -> None:
    mono = samples(first)
    file = tmp_path / "opposite.wav"
    soundfile.write(file, np.stack([0.4 * mono, -mono], axis=1), RATE, subtype="FLOAT")
    partly = load(file)
    assert partly.flags == ()  # an eighth of the energy is left
    soundfile.write(file, np.stack([0.9 * mono, -mono], axis=1), RATE, subtype="FLOAT")
    found = load(file)
    assert found.flags == ("channels_cancel",)
    assert np.allclose(found.waveform, -mono, atol=1e-6)
    assert load(file, channel=1).flags == ()


def test_channels_that_cancel_each_other_for_a_while(tmp_path: Path, first: Path) -> None:
    mono = samples(first)
    other = np.concatenate((mono[: 2 * RATE], -mono[2 * RATE :]))
    file = tmp_path / "later.wav"
    soundfile.write(file, np.stack([0.4 * other, mono], axis=1), RATE, subtype="FLOAT")
    assert load(file).flags == ()
    soundfile.write(file, np.stack([0.9 * other, mono], axis=1), RATE, subtype="FLOAT")
    found = load(file)
    assert found.flags == ("channels_cancel",)
    assert np.allclose(found.waveform, mono, atol=1e-6)


def test_unrelated_channels_are_mixed_however_many(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, (RATE, 32)).astype(np.float32)
    file = tmp_path / "array.wav"
    soundfile.write(file, noise, RATE, subtype="FLOAT")
    found = load(file)
    assert found.flags == ()
    assert np.allclose(found.waveform, noise.mean(axis=1), atol=1e-6)


def test_a_film_of_eight_channels(tmp_path: Path, first: Path) -> None:
    file = tmp_path / "surround.m4a"
    ffmpeg("-i", first, "-af", f"pan=7.1|{'|'.join(f'c{n}=c0' for n in range(8))}", file)
    assert audio.probe(str(file)).channels == 8
    assert likeness(load(file).waveform, samples(first), 0.0) > 0.98


# ---------------------------------------------------------------- long recordings


@pytest.mark.slow
def test_a_long_recording_comes_in_stretches_that_make_it_up(
    tmp_path: Path, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (".wav", ".mp3", ".m4a"):
        file = tmp_path / f"long{kind}"
        ffmpeg("-stream_loop", 3, "-i", first, "-ac", 2, "-ar", 22_050, file)
        whole = load(file).waveform
        with monkeypatch.context() as patched:
            patched.setattr(decoding, "KEPT", 10.0)
            patched.setattr(decoding, "STRETCH", 2.5)
            long = audio.load(str(file), sample_rate=RATE)
            assert long.is_long
            assert long.samples == len(whole)
            stretches = list(long.stretches())
            assert {len(one) for one in stretches[:-1]} == {40_000}
            assert np.array_equal(np.concatenate(stretches), whole)


@pytest.mark.slow
def test_four_hours_take_no_more_memory_than_half_an_hour(tmp_path: Path) -> None:
    file = tmp_path / "night.wav"
    write_silence(file, 4 * 3600, RATE, channels=1)
    script = (
        "import sys; from speechkit.io import audio\n"
        "long = audio.load(sys.argv[1], sample_rate=16000)\n"
        "seconds = sum(len(one) for one in long.stretches()) / 16000\n"
        "status = open('/proc/self/status').read()\n"
        "print(seconds, int(status.split('VmHWM:')[1].split()[0]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds == 4 * 3600
    assert megabytes < 400
