"""The sources of a stream: real pipes from ffmpeg, files, a microphone of ALSA's, and odd input."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audiokit import EXAMPLES, ffmpeg, write_silence
from speechkit.errors import EngineMissing, SourceFailed, SpeechkitError, UsageError
from speechkit.io import audio
from speechkit.serving.sources import file, stdin
from speechkit.serving.sources.opening import open_source
from speechkit.serving.sources.source import RepeatableSource, Source, SourceOptions

RATE = 16_000
SPEECH = EXAMPLES / "rms" / "doctor.flac"
SECONDS = 2
Waveform = NDArray[np.float32]


@pytest.fixture(scope="module")
def speech() -> Waveform:
    waveform, rate = soundfile.read(SPEECH, frames=SECONDS * RATE, dtype="float32")
    assert rate == RATE
    return np.asarray(waveform)


def piped(monkeypatch: pytest.MonkeyPatch, pieces: Iterable[bytes], **options: object) -> Source:
    """Stdin, into which another thread writes the pieces."""
    reader, writer = os.pipe()
    monkeypatch.setattr(stdin, "STDIN", reader)

    def write() -> None:
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            for piece in pieces:
                pipe.write(piece)

    threading.Thread(target=write, daemon=True).start()
    return open_source("-", SourceOptions(**options))


def heard(source: Source) -> Waveform:
    return np.concatenate([np.zeros(0, np.float32), *source.blocks()])


def heard_before(source: Source) -> tuple[Waveform, SpeechkitError]:
    """What came before the source's error, and that error."""
    blocks = [np.zeros(0, np.float32)]
    with pytest.raises(SpeechkitError) as caught:
        blocks.extend(source.blocks())
    return np.concatenate(blocks), caught.value


def pcm(waveform: Waveform) -> bytes:
    return np.round(waveform * (1 << 15)).astype("<i2").tobytes()


def wav(sound: bytes, size: int | None = None, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """16 kHz, mono, 16 bits; ``size``: as its header states it."""
    size = len(sound) if size is None else size
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return (
        b"RIFF\xff\xff\xff\xffWAVE"
        + form
        + before
        + struct.pack("<4sI", b"data", size)
        + (sound + after)
    )


# ---------------------------------------------------------------- stdin
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("-f s16le -ac 1 -ar 16000", {"rate": 16000}),
        ("-f f32le -ac 2 -ar 44100", {"rate": 44100, "channels": 2, "sample_format": "f32"}),
        ("-f wav -ar 8000", {}),
        ("-f wav -c:a pcm_u8", {}),
        ("-f wav -c:a pcm_s24le -ac 6 -ar 48000", {}),
        ("-f wav -c:a pcm_s32le", {}),
        ("-f wav -c:a pcm_f32le -ac 2", {}),
        ("-f wav -c:a pcm_f64le", {}),
        ("-f wav -rf64 always", {}),
    ],
)
def test_ffmpeg_into_a_pipe_is_heard_as_from_a_file(
    form: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["ffmpeg", "-loglevel", "error", "-t", str(SECONDS), "-i", SPEECH, *form.split()]
    as_wav = form.replace("-f s16le", "-c:a pcm_s16le").replace("-f f32le", "-c:a pcm_f32le")
    ffmpeg("-t", SECONDS, "-i", SPEECH, *as_wav.split(), tmp_path / "a.wav")
    expected = audio.load(str(tmp_path / "a.wav"), sample_rate=RATE).waveform
    with subprocess.Popen([*command, "-"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        monkeypatch.setattr(stdin, "STDIN", process.stdout.fileno())
        source = open_source("-", SourceOptions(**options))
        assert np.array_equal(heard(source), expected)
    assert not source.remarks


@pytest.mark.parametrize("length", [1, 3, 1001])
def test_pieces_of_any_length_give_the_same(
    length: int, speech: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = pcm(speech[:4000])
    whole = heard(piped(monkeypatch, [sound], rate=22050, channels=2))
    pieces = [sound[start : start + length] for start in range(0, len(sound), length)]
    assert np.array_equal(heard(piped(monkeypatch, pieces, rate=22050, channels=2)), whole)
    assert len(whole) == round(2000 * RATE / 22050)


def test_a_pipe_whose_other_end_made_it_not_wait(
    speech: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield pcm(speech[:100])
        goes_on.wait()
        yield pcm(speech[100:])

    source = piped(monkeypatch, pieces(), rate=RATE)
    os.set_blocking(stdin.STDIN, False)
    blocks = source.blocks()
    first = next(blocks)
    threading.Timer(0.1, goes_on.set).start()
    assert np.array_equal(np.concatenate([first, *blocks]), speech)


def test_what_belongs_to_no_whole_frame_is_said(
    speech: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = piped(monkeypatch, [pcm(speech), b"\1"], rate=RATE)
    assert np.array_equal(heard(source), speech)
    assert list(source.remarks) == [
        "stdin: ends within a frame of 2 bytes, of which the last 1 can't be heard"
    ]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, None])
def test_sizes_that_a_pipe_does_not_know(
    size: int | None, speech: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = b"LIST\3\0\0\0abc\0"
    source = piped(monkeypatch, [wav(pcm(speech), size, before=chunk)])
    assert np.array_equal(heard(source), speech)
    assert not source.remarks


def test_what_follows_the_sound_of_a_wav(speech: Waveform, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = pcm(speech)
    tagged = piped(monkeypatch, [wav(sound, after=b"LIST\4\0\0\0abcd")])
    assert np.array_equal(heard(tagged), speech)
    assert not tagged.remarks
    longer = piped(monkeypatch, [wav(sound, len(sound) // 2)])
    assert np.array_equal(heard(longer), speech)
    assert "goes on after the end" in longer.remarks[0]
    shorter = piped(monkeypatch, [wav(sound, 2 * len(sound))])
    assert np.array_equal(heard(shorter), speech)
    assert "ends before its header says" in shorter.remarks[0]


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"", "no audio came in"),
        (wav(b""), "no audio came in"),
        (b"OggS" + bytes(100), "no WAV; tell the --rate of raw PCM"),
        (b"RIFF", "no WAV"),
        (wav(b"")[:30], "ends within its header"),
        (wav(b"")[:12], "ends within its header"),
        (wav(b"").replace(b"\1\0\1\0", b"\7\0\1\0"), "format 0x7, 16 bits"),
        (wav(b"").replace(b"fmt ", b"fmd "), "doesn't state its format"),
        (wav(b"").replace(b"\x80\x3e\0\0", b"\1\0\0\0"), "a WAV of 1 Hz"),
        (wav(b"", before=b"junk\xff\xff\xff\xff"), "damaged header"),
        (wav(b"").replace(b"\x10\0\0\0\1\0", b"\2\0\0\0\1\0"), "header"),
    ],
)
def test_no_audio_is_a_sentence(
    sent: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, error = heard_before(piped(monkeypatch, [sent]))
    assert isinstance(error, UsageError)
    assert sentence in str(error)
    assert "\n" not in str(error)
    assert not len(before)


def test_a_wav_is_no_raw_pcm(speech: Waveform, monkeypatch: pytest.MonkeyPatch) -> None:
    before, error = heard_before(piped(monkeypatch, [wav(pcm(speech))], rate=RATE))
    assert isinstance(error, UsageError)
    assert "is a WAV, which states its own rate" in str(error)
    assert not len(before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_all_before_a_sample_that_is_no_number_is_heard(
    bad: float, channels: int, speech: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.repeat(speech[:, None], channels, axis=1)
    good = frames[: 3 * RATE // 2].tobytes()
    frames[3 * RATE // 2 :] = bad
    options = {"channels": channels, "sample_format": "f32", "rate": 22050}
    expected = heard(piped(monkeypatch, [good], **options))
    before, error = heard_before(piped(monkeypatch, [frames.tobytes()], **options))
    assert isinstance(error, SourceFailed)
    assert "NaN or infinite samples, the first at 1.09 s" in str(error)
    assert np.array_equal(before, expected)


def test_channels_that_cancel(speech: Waveform, monkeypatch: pytest.MonkeyPatch) -> None:
    long = np.tile(speech, 4)
    frames = np.stack([-0.9 * long, long], axis=1)
    source = piped(monkeypatch, [pcm(frames.ravel())], rate=RATE, channels=2)
    mixed = heard(source)
    assert "its channels cancel each other" in source.remarks[0]
    assert np.array_equal(mixed, long)
    assert len(source.remarks) == 1


def test_a_terminal_is_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    _, terminal = os.openpty()
    monkeypatch.setattr(stdin, "STDIN", terminal)
    with pytest.raises(UsageError, match="nothing is piped into it; for example: ffmpeg"):
        open_source("-", SourceOptions())


def test_a_killed_ffmpeg_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ffmpeg("-version")
    endless = "-re -f lavfi -i sine=220 -f s16le -ac 1 -ar 16000 -"
    command = ["ffmpeg", "-loglevel", "error", *endless.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        monkeypatch.setattr(stdin, "STDIN", process.stdout.fileno())
        blocks = open_source("-", SourceOptions(rate=RATE)).blocks()
        assert np.abs(next(blocks)).max() > 0.1
        process.kill()
        assert sum(map(len, blocks)) < 10 * RATE


@pytest.mark.parametrize(
    ("spec", "options", "sentence"),
    [
        ("-", {"rate": 0}, "--rate 0: it has to be 1000 to 768000 Hz"),
        ("-", {"rate": 10**9}, "--rate 1000000000"),
        ("-", {"rate": RATE, "channels": 0}, "--channels 0: it has to be 1 to 64"),
        ("-", {"channels": 2}, "take its --rate as well"),
        ("-", {"sample_format": "f32"}, "take its --rate as well"),
        (str(SPEECH), {"rate": RATE}, "--rate is of raw PCM on stdin"),
        (str(SPEECH), {"sample_format": "f32"}, "--sample-format is of raw PCM on stdin"),
        (str(SPEECH), {"channels": 1}, "--channels is of raw PCM"),
        ("/nowhere.wav", {}, "/nowhere.wav: no such file"),
        (str(EXAMPLES), {}, "is no file"),
        ("/dev/null", {}, "is no file"),
        ("", {}, "SOURCE is empty"),
    ],
)
def test_what_can_not_be_is_a_sentence(
    spec: str, options: dict[str, int], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    monkeypatch.setattr(stdin, "STDIN", reader)
    with pytest.raises(UsageError) as caught:
        open_source(spec, SourceOptions(**options))
    assert sentence in str(caught.value)


# ---------------------------------------------------------------- files
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.flac", ""),
        ("a.wav", "-ac 2 -ar 44100"),
        ("a.mp3", "-ar 44100"),
        ("a.ogg", "-c:a libvorbis"),
        ("a.m4a", "-ar 48000"),
        ("a.webm", "-c:a libopus"),
    ],
)
def test_a_file_is_heard_as_by_asr(name: str, arguments: str, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-i", SPEECH, *arguments.split(), path)
    expected = audio.load(str(path), sample_rate=RATE).waveform
    source = open_source(str(path), SourceOptions())
    assert source.seconds == pytest.approx(len(expected) / RATE, abs=0.1)
    waveform = heard(source)
    assert np.array_equal(waveform[: len(expected)], expected)
    assert len(waveform) - len(expected) < audio.SLACK * RATE  # padding of the last packet
    assert isinstance(source, RepeatableSource)
    between = np.concatenate(list(source.between(1000, 40_000)))
    assert np.array_equal(between, waveform[1000:40_000])
    source.skip(12_345)
    assert np.array_equal(heard(source), waveform[12_345:])
    source.skip(len(waveform))
    assert not len(heard(source))


def test_joined_files_are_heard_to_the_end(tmp_path: Path) -> None:
    for name, arguments in (("a.mp3", ["-b:a", "64k"]), ("a.ogg", ["-c:a", "libvorbis"])):
        ffmpeg("-i", SPEECH, *arguments, tmp_path / name)
        joined = tmp_path / f"joined-{name}"
        joined.write_bytes(2 * (tmp_path / name).read_bytes())
        expected = audio.load(str(joined), sample_rate=RATE).samples
        assert expected > 1.9 * audio.load(str(tmp_path / name), sample_rate=RATE).samples
        samples = len(heard(open_source(str(joined), SourceOptions())))
        assert samples == pytest.approx(expected, abs=audio.SLACK * RATE)


def test_what_a_broken_file_holds_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    whole = SPEECH.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    before, error = heard_before(open_source(str(path), SourceOptions()))
    assert isinstance(error, SourceFailed)
    assert "s expected, only" in str(error)
    speech, _ = soundfile.read(SPEECH, dtype="float32")
    assert len(before) > 0.4 * len(speech)
    assert np.array_equal(before[: 2 * RATE], speech[: 2 * RATE])


def test_ffmpeg_reads_on_behind_damage(tmp_path: Path) -> None:
    path = tmp_path / "damaged.flac"
    sound = bytearray(SPEECH.read_bytes())
    middle = len(sound) // 2
    sound[middle : middle + 2000] = bytes(2000)
    path.write_bytes(sound)
    source = open_source(str(path), SourceOptions())
    expected = audio.load(str(path), sample_rate=RATE).samples
    assert len(heard(source)) == pytest.approx(expected, abs=audio.SLACK * RATE)
    assert expected > 0.9 * soundfile.info(SPEECH).frames
    assert "is damaged" in source.remarks[0]


def test_a_folder_whose_name_has_two_lines(tmp_path: Path) -> None:
    (tmp_path / "two\nlines").mkdir()
    with pytest.raises(UsageError, match=r"two\\nlines: is no file"):
        open_source(str(tmp_path / "two\nlines"), SourceOptions())


def test_a_file_that_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "text.mp3"
    path.write_text("This is no audio.")
    with pytest.raises(SourceFailed, match=r"text\.mp3: not audio that can be decoded"):
        open_source(str(path), SourceOptions())


def test_a_long_file_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "day.wav"
    write_silence(path, 24 * 3600, 8000, 2)
    source = open_source(str(path), SourceOptions())
    assert source.seconds == 24 * 3600
    blocks = list(itertools.islice(source.blocks(), 3))
    assert all(0 < len(block) <= 30 * RATE for block in blocks)


def test_a_file_is_read_as_it_would_be_played(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [100.0]
    monkeypatch.setattr(file.time, "monotonic", lambda: times[0])
    monkeypatch.setattr(file.time, "sleep", lambda seconds: times.append(times.pop() + seconds))
    source = open_source(str(SPEECH), SourceOptions(pace="1"))
    samples = 0
    for block in itertools.islice(source.blocks(), 20):
        samples += len(block)
        assert times[0] == pytest.approx(100 + samples / RATE)
    assert samples == SECONDS * RATE
    times[0] += 10  # whoever falls behind is not held up further
    assert sum(map(len, itertools.islice(source.blocks(), 1))) == RATE // 10


# ---------------------------------------------------------------- microphones
ASOUNDRC = """
pcm.!default {{ type plug slave {{ pcm "talk" rate 16000 channels 1 format S16_LE }} }}
pcm.talk {{ type file slave.pcm "null" file "/dev/null" infile "{}" format "raw" }}
pcm.null {{ type null }}
ctl.!default {{ type null }}
"""
RECORD = """
import os, sys, threading, time
fifo = os.open(sys.argv[1], os.O_RDWR) if sys.argv[1:] else None
import numpy as np
from speechkit.errors import SpeechkitError
from speechkit.serving.sources import microphone
from speechkit.serving.sources.opening import open_source
from speechkit.serving.sources.source import SourceOptions

def plug_in_again():
    time.sleep(1.0)  # the library can't be closed before
    while True:
        os.write(fifo, bytes(4096))

try:
    open_source("microphone:none", SourceOptions())
except SpeechkitError as e:
    print(type(e).__name__, e)
source = open_source("microphone", SourceOptions())
microphone.GONE = 0.3
if fifo is not None:
    os.write(fifo, bytes(16000))
    threading.Thread(target=plug_in_again, daemon=True).start()
samples = []
try:
    for block in source.blocks():
        samples.extend(block)
        if fifo is None and len(samples) >= 1600:
            break
    np.save("heard.npy", np.asarray(samples[:1600], np.float32))
except SpeechkitError as e:
    print(len(samples) > 0, type(e).__name__, e)
"""


def record(folder: Path, infile: Path, *arguments: object) -> str:
    """What a process says that hears, by PortAudio and ALSA, a file as its microphone."""
    (folder / ".asoundrc").write_text(ASOUNDRC.format(infile))
    command = [sys.executable, "-c", RECORD, *map(str, arguments)]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if "needs PortAudio" in done.stderr:
        pytest.skip("no PortAudio: scripts/system_packages.sh tests")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_microphone_is_heard(speech: Waveform, tmp_path: Path) -> None:
    (tmp_path / "talk.raw").write_bytes(pcm(speech[RATE // 2 :]))
    said = record(tmp_path, tmp_path / "talk.raw")
    assert said == "UsageError microphone none: no such input; there are: 0 talk, 1 default\n"
    assert np.array_equal(np.load(tmp_path / "heard.npy"), speech[RATE // 2 :][:1600])


def test_a_microphone_that_vanishes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "talk.fifo")
    said = record(tmp_path, tmp_path / "talk.fifo", tmp_path / "talk.fifo")
    assert said.splitlines()[-1] == (
        "True SourceFailed microphone: has given no sound for 0.3 s; is it still plugged in?"
    )


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("raise ModuleNotFoundError", r"run `pip install 'speechkit\[microphone\]'`"),
        ("raise OSError('PortAudio library not found')", "apt-get install libportaudio2"),
    ],
)
def test_a_missing_library_is_a_sentence(
    module: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounddevice.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(EngineMissing, match=sentence):
        open_source("microphone", SourceOptions())
