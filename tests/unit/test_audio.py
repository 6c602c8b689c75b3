"""Decoding against ffmpeg-made files of one known recording, and every kind of odd file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audiokit import ffmpeg, write_silence
from speechkit.errors import (
    AudioEmpty,
    AudioInvalid,
    AudioNotFound,
    AudioTruncated,
    AudioUnreadable,
    UtteranceError,
)
from speechkit.io import audio

RATE = 16_000
Waveform = NDArray[np.float32]
Encode = Callable[..., Path]

#: Container and codec by ffmpeg's arguments; rates and channel counts the codec takes.
ALL_RATES = (8000, 11025, 16000, 22050, 44100, 48000)
OPUS_RATES = (8000, 16000, 48000)
PCM = {
    "u8": (".wav", "-c:a pcm_u8"),
    "s16": (".wav", "-c:a pcm_s16le"),
    "s24": (".wav", "-c:a pcm_s24le"),
    "s32": (".wav", "-c:a pcm_s32le"),
    "float": (".wav", "-c:a pcm_f32le"),
    "double": (".wav", "-c:a pcm_f64le"),
    "ulaw": (".wav", "-c:a pcm_mulaw"),
    "flac": (".flac", ""),
    "aiff": (".aiff", ""),
}
CODECS = {
    "mp3": (".mp3", ""),
    "mp3-without-xing": (".mp3", "-write_xing 0"),
    "ogg": (".ogg", "-c:a libvorbis"),
    "oga-flac": (".oga", "-c:a flac"),
    "opus": (".opus", "-c:a libopus"),
    "m4a": (".m4a", ""),
    "mp4": (".mp4", ""),
    "webm": (".webm", "-c:a libopus"),
    "webm-vorbis": (".webm", "-c:a libvorbis"),
    "aac": (".aac", ""),
    "mka": (".mka", "-c:a aac"),
    "mpegts": (".ts", "-c:a aac"),
}
KINDS = {**PCM, **CODECS}
DELAYED = {"mp3-without-xing", "aac", "mka", "mpegts"}  # keep the encoder's own delay
SLACK = {"webm": 0.01, "webm-vorbis": 0.02}  # seconds stated that the decoder drops at the start


@pytest.fixture(scope="module")
def original(examples: Path) -> Waveform:
    samples, rate = soundfile.read(examples / "rms" / "bridge.flac", dtype="float32")
    assert rate == RATE
    return samples


@pytest.fixture(scope="module")
def encode(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Encode:
    """The example as another kind of file: every channel the same, the rate as wanted."""
    folder = tmp_path_factory.mktemp("encoded")

    def make(kind: str, rate: int = RATE, channels: int = 1) -> Path:
        file = folder / f"{kind}-{rate}-{channels}{KINDS[kind][0]}"
        if not file.exists():
            _encode(examples / "rms" / "bridge.flac", {kind: file}, rate, channels)
        return file

    return make


@pytest.fixture(scope="module")
def encode_all(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Encode:
    """As `encode`; every kind of a rate and a number of channels comes of one run of ffmpeg's."""
    folder = tmp_path_factory.mktemp("all")

    def make(kind: str, rate: int, channels: int) -> Path:
        files = {
            one: folder / f"{one}-{rate}-{channels}{KINDS[one][0]}"
            for one, *others in combinations(KINDS)
            if others == [rate, channels]
        }
        if not files[kind].exists():
            _encode(examples / "rms" / "bridge.flac", files, rate, channels)
        return files[kind]

    return make


def _encode(source: Path, files: dict[str, Path], rate: int, channels: int) -> None:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    same = "|".join(f"c{i}=c0" for i in range(channels))
    filters = f"aresample={rate}:resampler=soxr,pan={layout}|{same}"
    outputs = [
        part
        for kind, file in files.items()
        for part in ("-map", "0:a", "-af", filters, "-ar", rate, *KINDS[kind][1].split(), file)
    ]
    ffmpeg("-i", source, *outputs)


def aligned(reference: Waveform, other: Waveform, most: int) -> tuple[int, float, float]:
    """How many samples ``other`` is late, and then its correlation and its gain."""
    n = min(len(reference), len(other))
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(other[:n], size) * np.conj(np.fft.rfft(reference[:n], size))
    products = np.fft.irfft(spectrum, size)
    lags = np.r_[0 : most + 1, -most:0]
    lag = int(lags[np.argmax(products[lags])])
    a = reference[max(0, -lag) : n - max(0, lag)]
    b = other[max(0, lag) : n - max(0, -lag)]
    gain = float(np.sqrt(np.mean(b**2) / np.mean(a**2)))
    return lag, float(np.corrcoef(a, b)[0, 1]), gain


def combinations(kinds: dict[str, tuple[str, str]]) -> list[tuple[str, int, int]]:
    return [
        (kind, rate, channels)
        for kind in kinds
        for rates in [OPUS_RATES if kind in ("opus", "webm") else ALL_RATES]
        for rate, channels in [*((r, 1) for r in rates), (48000, 2), (48000, 6)]
        if not (kind.startswith("mp3") and channels == 6)  # the format has two at most
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rate", "channels"), combinations(KINDS))
def test_every_format_decodes_to_the_original(
    encode_all: Encode, original: Waveform, kind: str, rate: int, channels: int
) -> None:
    file = str(encode_all(kind, rate, channels))
    info = audio.probe(file)
    assert info.channels == channels
    assert info.sample_rate == (48000 if kind == "webm" else rate)
    waveform = audio.load(file, sample_rate=RATE).waveform
    assert waveform.dtype == np.float32
    assert abs(info.duration - len(waveform) / RATE) < SLACK.get(kind, 0.001)
    # An encoder's delay stays where the container can't tell it: up to 2 frames of 2304 samples.
    delay = 2400 * RATE // rate if kind in DELAYED else 90 if kind == "webm" else 0
    lag, correlation, gain = aligned(original, waveform, 5000)
    assert 0 <= lag <= delay
    assert correlation > (0.98 if kind in CODECS or rate < RATE else 0.999)
    assert 0.93 < gain < 1.02
    assert abs(len(waveform) - len(original)) <= (2 * delay if delay else 0.033 * RATE)


@pytest.mark.parametrize("kind", ["u8", "s16", "s24", "s32", "float", "double", "flac", "aiff"])
def test_lossless_files_at_the_wanted_rate_come_out_exactly(
    encode: Encode, original: Waveform, kind: str
) -> None:
    waveform = audio.load(str(encode(kind, channels=2)), sample_rate=RATE).waveform
    assert len(waveform) == len(original)
    assert np.abs(waveform - original).max() <= (1 / 127 if kind == "u8" else 0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rate", "channels"), combinations(KINDS))
def test_a_slice_is_that_stretch_of_the_whole(
    encode_all: Encode, kind: str, rate: int, channels: int
) -> None:
    file = str(encode_all(kind, rate, channels))
    whole = audio.load(file, sample_rate=RATE).waveform
    seconds = len(whole) / RATE
    tail = audio.probe(file).duration - 2.0
    for offset, duration in [(0.0, 0.5), (0.01, 0.4), (0.3, 1.0), (1.25, 0.875), (tail, 2.0)]:
        part = audio.load(file, offset=offset, duration=duration, sample_rate=RATE).waveform
        assert abs(len(part) / RATE - duration) < SLACK.get(kind, 0.001)
        same = whole[round(offset * RATE) :][: len(part)]
        if kind in PCM and rate == RATE:
            assert np.array_equal(part, same)
            continue
        lag, correlation, gain = aligned(same, part[: len(same)], 400)
        assert abs(lag) <= 0.001 * RATE, f"at {offset}"
        assert correlation > 0.9  # half a sample off, in what is nearly silence
        assert 0.95 < gain < 1.05
    rest = audio.load(file, offset=2.0, sample_rate=RATE).waveform
    assert abs(len(rest) / RATE + 2.0 - seconds) < 0.002


@pytest.mark.slow
@pytest.mark.parametrize("rate", ALL_RATES)
@pytest.mark.parametrize("repeat", [1, 12])
def test_the_last_page_of_an_ogg_file(
    tmp_path: Path, encode: Encode, rate: int, repeat: int
) -> None:
    file = tmp_path / "long.ogg"
    loop = ("-stream_loop", repeat - 1, "-i", encode("s16", rate))
    ffmpeg(*loop, "-c:a", "libvorbis", file)
    whole = audio.load(str(file), sample_rate=RATE).waveform
    for before_end in (0.1, 0.4, 0.9, 1.7, 4.0):
        offset = audio.probe(str(file)).duration - before_end
        part = audio.load(str(file), offset=offset, sample_rate=RATE).waveform
        assert abs(len(part) / RATE - before_end) < 0.001
        assert abs(aligned(whole[round(offset * RATE) :], part, 400)[0]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s16", "flac", "m4a", "webm", "opus", "ogg"])
def test_a_slice_at_the_end_of_a_long_file_reads_only_its_own_frames(
    tmp_path: Path, kind: str
) -> None:
    suffix, codec = KINDS[kind]
    file = tmp_path / f"long{suffix}"
    ffmpeg("-f", "lavfi", "-i", "sine=220:sample_rate=16000:d=300", *codec.split(), file)
    began = time.perf_counter()
    end = audio.load(str(file), offset=298.0, duration=1.0, sample_rate=RATE).waveform
    slice_seconds = time.perf_counter() - began
    assert len(end) == RATE
    assert np.abs(end).max() > 0.1
    began = time.perf_counter()
    whole = audio.load(str(file), sample_rate=RATE).waveform
    whole_seconds = time.perf_counter() - began
    assert abs(len(whole) - 300 * RATE) < 0.02 * RATE
    assert slice_seconds < whole_seconds / 4


def test_a_wav_slice_takes_the_bytes_of_its_frames_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "hour.wav"
    write_silence(file, 3600, RATE, channels=1)
    script = (
        "import sys; from speechkit.io import audio\n"
        "import soundfile\n"  # its own reads come before the count
        "def read(): return int(open('/proc/self/io').readline().split()[1])\n"
        "before = read()\n"
        "w = audio.load(sys.argv[1], offset=3598.0, duration=1.0, sample_rate=16000).waveform\n"
        "print(len(w), read() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, check=True)
    samples, count = map(int, done.stdout.split())
    assert samples == RATE
    assert count < 2 * RATE + 200_000


@pytest.mark.slow
def test_memory_is_bounded_by_the_waveform(tmp_path: Path) -> None:
    file = tmp_path / "long.wav"
    write_silence(file, 1800, 44100, channels=2)
    script = (
        "import resource, sys, numpy, soundfile, soxr\n"
        "from speechkit.io import audio\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak(); w = audio.load(sys.argv[1], sample_rate=16000).waveform\n"
        "print(w.nbytes, peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, check=True)
    waveform, more = map(int, done.stdout.split())
    assert waveform == 1800 * RATE * 4
    assert more < waveform + 100 * 2**20


def test_a_channel_can_be_picked_and_all_are_mixed_by_their_mean(
    tmp_path: Path, original: Waveform
) -> None:
    file = tmp_path / "three.wav"
    channels = np.stack([original, original * 0.5, np.zeros_like(original)], axis=1)
    soundfile.write(file, channels, RATE, subtype="FLOAT")
    for number in (1, 2, 3):
        picked = audio.load(str(file), sample_rate=RATE, channel=number).waveform
        assert np.array_equal(picked, channels[:, number - 1])
    mixed = audio.load(str(file), sample_rate=RATE).waveform
    assert np.allclose(mixed, original * 0.5, atol=1e-6)
    with pytest.raises(AudioInvalid, match="has 3 channels, no channel 4"):
        audio.load(str(file), sample_rate=RATE, channel=4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_nan_and_infinity_are_refused_where_they_are_heard(
    tmp_path: Path, bad: float, rate: int
) -> None:
    file = tmp_path / "bad.wav"
    samples = np.zeros((3 * rate, 2), np.float32)
    samples[2 * rate, 1] = bad
    soundfile.write(file, samples, rate, subtype="FLOAT")
    with pytest.raises(AudioInvalid, match=r"NaN or infinite samples, the first at 2\.00 s"):
        audio.load(str(file), sample_rate=RATE)
    audio.load(str(file), sample_rate=RATE, channel=1)
    audio.load(str(file), sample_rate=RATE, duration=1.5)


def test_samples_beyond_full_scale_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "loud.wav"
    soundfile.write(file, np.full(RATE, 3.0, np.float32), RATE, subtype="FLOAT")
    assert np.all(audio.load(str(file), sample_rate=RATE).waveform == 3.0)


#: What becomes of a file cut off at 60 %: an error, or the part that is there, with its flags.
CUT: dict[str, type[Exception] | tuple[str, ...]] = {
    **dict.fromkeys(("s16", "float", "ulaw", "aiff", "mp3", "ogg", "opus"), ("header_disagrees",)),
    **dict.fromkeys(("mp3-without-xing", "oga-flac"), ()),
    "aac": ("damaged",),
    **dict.fromkeys(("m4a", "mp4"), AudioUnreadable),
    **dict.fromkeys(("flac", "webm", "webm-vorbis", "mka"), AudioTruncated),
}


@pytest.mark.parametrize("kind", CUT)
def test_a_truncated_file_is_an_error_or_what_is_there(
    tmp_path: Path, encode: Encode, original: Waveform, kind: str
) -> None:
    whole = encode(kind)
    file = tmp_path / f"cut{whole.suffix}"
    data = whole.read_bytes()
    file.write_bytes(data[: len(data) * 6 // 10])
    expected = CUT[kind]
    if isinstance(expected, type):
        with pytest.raises(expected, match=r"cut\."):
            audio.load(str(file), sample_rate=RATE)
        return
    found = audio.load(str(file), sample_rate=RATE)
    assert found.flags == expected
    there = found.waveform
    assert 0.4 * len(original) < len(there) < 0.7 * len(original)
    complete = audio.load(str(whole), sample_rate=RATE).waveform
    assert aligned(complete[: len(there)], there, 100)[0] == 0
    probed = audio.probe(str(file))
    assert abs(probed.duration - len(there) / RATE) < 0.001
    assert probed.flags == expected
    with pytest.raises(AudioTruncated, match=r"6\.05 s expected"):
        audio.load(str(file), sample_rate=RATE, duration=6.05)


def test_a_playable_file_whose_data_ends_early_is_an_error(tmp_path: Path, encode: Encode) -> None:
    file = tmp_path / "fast.m4a"
    ffmpeg("-i", encode("s16"), "-movflags", "+faststart", file)
    file.write_bytes(file.read_bytes()[:-20_000])
    with pytest.raises((AudioTruncated, AudioUnreadable), match=r"fast\.m4a"):
        audio.load(str(file), sample_rate=RATE)


def test_an_offset_beyond_the_end_is_an_error(encode: Encode) -> None:
    for kind in ("s16", "mp3", "m4a", "webm", "aac", "ogg"):
        with pytest.raises(AudioTruncated, match="ends before the offset of 100 s"):
            audio.load(str(encode(kind)), offset=100.0, sample_rate=RATE)
        with pytest.raises(AudioTruncated, match="expected from 5 s on"):
            audio.load(str(encode(kind)), offset=5.0, duration=4.0, sample_rate=RATE)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_sound_of_a_longer_video(
    tmp_path: Path, encode: Encode, original: Waveform, suffix: str
) -> None:
    file = tmp_path / f"video{suffix}"
    codecs = "-c:v libvpx -c:a libopus" if suffix == ".webm" else "-c:v mpeg4 -c:a aac"
    picture = ("-f", "lavfi", "-i", "color=c=red:s=64x64:d=8")
    ffmpeg(*picture, "-i", encode("s16", 48000), *codecs.split(), file)
    waveform = audio.load(str(file), sample_rate=RATE).waveform
    assert abs(len(waveform) - len(original)) < 0.02 * RATE
    assert abs(audio.probe(str(file)).duration - len(waveform) / RATE) < 0.002
    part = audio.load(str(file), offset=3.0, duration=1.0, sample_rate=RATE).waveform
    assert abs(aligned(waveform[3 * RATE : 4 * RATE], part, 400)[0]) <= 16


@pytest.mark.parametrize(
    "options", ["-c:a libopus -f webm", "-c:a aac -movflags frag_keyframe+empty_moov -f mp4"]
)
def test_a_recording_written_without_a_length(
    tmp_path: Path, encode: Encode, original: Waveform, options: str
) -> None:
    """As a browser records: no duration in the header, no index of places."""
    file = tmp_path / "live"
    file.write_bytes(ffmpeg("-i", encode("s16", 48000), *options.split(), "-"))
    waveform = audio.load(str(file), sample_rate=RATE).waveform
    assert abs(len(waveform) - len(original)) < 0.08 * RATE
    assert abs(audio.probe(str(file)).duration - len(waveform) / RATE) < 0.002
    part = audio.load(str(file), offset=4.0, duration=1.0, sample_rate=RATE).waveform
    assert abs(aligned(waveform[4 * RATE : 5 * RATE], part, 400)[0]) <= 16


# ---------------------------------------------------------------- files that are none


def both(path: object) -> list[Exception]:
    """The errors of probing and of loading."""
    found = []
    for call in (
        lambda: audio.probe(str(path)),
        lambda: audio.load(str(path), sample_rate=RATE).waveform,
    ):
        with pytest.raises(UtteranceError) as caught:
            call()
        assert str(caught.value).startswith(str(path))
        found.append(caught.value)
    return found


def test_odd_files_give_named_errors(tmp_path: Path, encode: Encode) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    text = tmp_path / "text.wav"
    text.write_text("this is no audio\n" * 1000)
    noise = tmp_path / "noise.flac"
    noise.write_bytes(np.random.default_rng(2).bytes(100_000))
    folder = tmp_path / "folder.wav"
    folder.mkdir()
    dangling = tmp_path / "dangling.wav"
    dangling.symlink_to("nowhere.wav")
    circle = tmp_path / "circle.wav"
    circle.symlink_to("circle.wav")
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    header = tmp_path / "header.wav"
    soundfile.write(header, np.zeros(0), RATE)
    half_header = tmp_path / "half.wav"
    half_header.write_bytes(encode("s16").read_bytes()[:30])
    expected = {
        empty: AudioEmpty,
        header: AudioEmpty,
        half_header: AudioUnreadable,
        text: AudioUnreadable,
        noise: AudioUnreadable,
        folder: AudioNotFound,
        dangling: AudioNotFound,
        tmp_path / "no such.wav": AudioNotFound,
        text / "below.wav": AudioNotFound,
        circle: AudioUnreadable,
        pipe: AudioUnreadable,
        Path("/dev/null"): AudioUnreadable,
        tmp_path / ("x" * 300): AudioUnreadable,
    }
    for path, error in expected.items():
        assert [type(e) for e in both(path)] == [error, error], path


def test_every_format_with_a_header_alone(tmp_path: Path, encode: Encode) -> None:
    for kind in KINDS:
        whole = encode(kind)
        file = tmp_path / f"head-{kind}{whole.suffix}"
        for size in (1, 4, 12, 40):
            file.write_bytes(whole.read_bytes()[:size])
            for error in both(file):
                assert isinstance(error, AudioUnreadable | AudioEmpty | AudioTruncated)


def test_a_file_without_permission(open_path: Path, encode: Encode) -> None:
    shutil.copy(encode("s16"), open_path / "secret.wav")
    (open_path / "secret.wav").chmod(0)
    script = (
        "import os, sys\n"
        "from speechkit.errors import AudioUnreadable\n"
        "from speechkit.io import audio\n"
        "import soundfile\n"
        "os.geteuid() or os.setuid(65534)\n"  # root may read everything
        "try: audio.load(sys.argv[1], sample_rate=16000).waveform\n"
        "except AudioUnreadable as e: print(e)\n"
    )
    command = [sys.executable, "-c", script, str(open_path / "secret.wav")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("secret.wav: permission denied")


@pytest.mark.parametrize("kind", ["s16", "mp3", "m4a", "webm"])
@pytest.mark.parametrize(
    "name",
    [
        "a name with spaces",
        "grüße-音声",
        "new\nline",
        os.fsdecode(b"not-utf8-\xff\xfe"),
        "100%d 'quoted' \"twice\" #?&;*",
        "concat:a|b",
        "-dash",
        "talk.raw",
        "talk.au",
        "noext",
    ],
)
def test_any_name_will_do(tmp_path: Path, encode: Encode, kind: str, name: str) -> None:
    file = tmp_path / (name if name in ("talk.raw", "noext") else name + encode(kind).suffix)
    shutil.copy(encode(kind), file)
    assert 5.9 < audio.probe(str(file)).duration < 6.2
    assert 5.9 < len(audio.load(str(file), sample_rate=RATE).waveform) / RATE < 6.2


@pytest.mark.parametrize("suffix", [".wav", ".m3u8", ".txt", ""])
def test_play_lists_open_no_other_file(tmp_path: Path, encode: Encode, suffix: str) -> None:
    aac = encode("aac")
    shutil.copy(aac, tmp_path / "other.aac")
    descriptor = os.open(aac, os.O_RDONLY)
    lists = {
        "concat": "ffconcat version 1.0\nfile other.aac\n",
        "concat2": f"ffconcat version 1.0\nfile '{aac}'\n",
        "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:6,\n{tmp_path}/other.aac\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=audio 5004 RTP/AVP 0\n",
        "descriptor": f"ffconcat version 1.0\nfile {descriptor}\n",
        "remote": "#EXTM3U\n#EXTINF:6,\nhttp://127.0.0.1:9/a.aac\n#EXT-X-ENDLIST\n",
    }
    for name, text in lists.items():
        file = tmp_path / f"{name}{suffix}"
        file.write_text(text)
        assert [type(e) for e in both(file)] == [AudioUnreadable, AudioUnreadable]
    os.close(descriptor)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a.wav", "https://x/a.wav", "concat:a|b", "pipe:0", "/dev/tcp/x"]
)
def test_addresses_are_only_names(address: str) -> None:
    assert [type(e) for e in both(address)] == [AudioNotFound, AudioNotFound]
