"""The same speech in every container and codec that ffmpeg writes, and what two readers make of it.

The files of a kind are the same bytes at every run.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from speechkit.io import audio

RATE = 16000  # Hz at which waveforms are compared
BLOCK = RATE // 10  # samples
AUDIBLE = 0.01  # of full scale, root mean square of a block
LONGEST = 600.0  # seconds decoded by ffmpeg at most: a damaged header may promise days
SPEECH = Path(__file__).resolve().parents[2] / "examples" / "speech"

PIPED = "-seekable 0"  # as into a pipe: a header's lengths can't be filled in at the end
VIDEO = "-f lavfi -i color=size=64x64:rate=10:duration=6 -map 0:a -map 1:v"
#: The container, whose name up to a "+" is the file's suffix; ffmpeg's encoder; sample rate in Hz;
#: channels; further options of ffmpeg.
TABLE = f"""
wav         pcm_u8          16000 1
wav         pcm_s16le       16000 1
wav+stereo  pcm_s16le       44100 2
wav+piped   pcm_s16le       16000 1  {PIPED}
wav         pcm_s24le       44100 2
wav         pcm_s32le       44100 2
wav         pcm_f32le       44100 2
wav         pcm_f64le       44100 2
wav         pcm_alaw         8000 1
wav         pcm_mulaw        8000 1
wav         adpcm_ima_wav   16000 1
wav+stereo  adpcm_ima_wav   44100 2
wav         adpcm_ms        16000 1
wav+stereo  adpcm_ms        44100 2
wav         adpcm_yamaha    44100 2
wav         g726             8000 1
wav         libgsm_ms        8000 1
wav         libmp3lame      44100 2
wav         wmav2           44100 2
wav         ac3             44100 2
wav         dca             44100 2
rf64        pcm_s16le       44100 2  -f wav -rf64 always
w64         pcm_s16le       44100 2
w64         pcm_f32le       16000 1
w64+piped   pcm_s16le       44100 2  {PIPED}
flac        flac            16000 1  -sample_fmt s16
flac+24bit  flac            44100 2  -sample_fmt s32 -bits_per_raw_sample 24
flac+piped  flac            16000 1  -sample_fmt s16 {PIPED}
ogg         libvorbis       44100 2
ogg+mono    libvorbis       16000 1
ogg         libopus         48000 2
ogg         flac            44100 2
ogg         libspeex        16000 1
opus        libopus         16000 1
spx         libspeex         8000 1
mp3         libmp3lame      16000 1  -b:a 32k
mp3+8khz    libmp3lame       8000 1
mp3+cbr     libmp3lame      44100 2  -b:a 128k
mp3+vbr     libmp3lame      44100 2  -q:a 4
mp3+noxing  libmp3lame      44100 2  -q:a 4 -write_xing 0
mp3+piped   libmp3lame      16000 1  -b:a 32k {PIPED}
mp2         mp2             44100 2
mp2+mono    mp2             16000 1
aac         aac             44100 2  -f adts
aac+mono    aac             16000 1  -f adts
latm        aac             44100 2
m4a         aac             44100 2
m4a+mono    aac             16000 1
m4a         alac            44100 2
mp4+pieces  aac             44100 2  -movflags frag_keyframe+empty_moov -frag_duration 500000
mp4+start   aac             44100 2  -movflags faststart
mp4+video   aac             44100 2  {VIDEO} -c:v mpeg4
mp4         ac3             44100 2
mp4         libmp3lame      44100 2
mp4         libopus         48000 2
mp4         flac            44100 2
mov         pcm_s16le       44100 2
mov         pcm_s24be       44100 2
mov         pcm_alaw         8000 1
mov         adpcm_ima_qt    44100 2
3gp         aac             16000 1
3g2         aac             16000 1
mkv         aac             44100 2
mkv         libopus         48000 2
mkv         libvorbis       44100 2
mkv         flac            44100 2
mkv         pcm_s16le       44100 2
mkv         libmp3lame      44100 2
mkv         ac3             44100 2
mkv         eac3            44100 2
mkv         dca             44100 2
mkv         alac            44100 2
mkv         tta             44100 2
mkv         wavpack         44100 2
mkv+live    libopus         48000 2  -f matroska -live 1
mkv+piped   libopus         48000 2  {PIPED}
mkv+video   aac             44100 2  {VIDEO} -c:v mpeg4
webm        libopus         48000 2
webm        libvorbis       44100 2
webm+video  libopus         48000 2  {VIDEO} -c:v libvpx
caf         pcm_s16be       44100 2
caf         pcm_mulaw        8000 1
caf         adpcm_ima_qt    44100 2
caf         alac            44100 2
caf         libopus         48000 2
caf+piped   pcm_s16le       16000 1  {PIPED}
aiff        pcm_s16be       44100 2
aiff        pcm_s24be       44100 2
aiff        pcm_s16le       44100 2
aifc        pcm_f32be       44100 2  -f aiff
aifc        pcm_alaw         8000 1  -f aiff
aifc        adpcm_ima_qt    44100 2  -f aiff
au          pcm_s16be       44100 2
au          pcm_mulaw        8000 1
au          pcm_f32be       16000 1
au+piped    pcm_s16be       16000 1  {PIPED}
voc         pcm_u8          16000 1
voc         pcm_s16le       44100 2
amr         libopencore_amrnb 8000 1
ac3         ac3             44100 2
eac3        eac3            44100 2
dts         dca             44100 2
wma         wmav1           44100 2  -f asf
wma         wmav2           44100 2  -f asf
wma+mono    wmav2           16000 1  -f asf
asf         libmp3lame      44100 2
avi         libmp3lame      44100 2
avi         pcm_s16le       44100 2
avi         ac3             44100 2
avi+piped   pcm_s16le       44100 2  {PIPED}
avi+video   libmp3lame      44100 2  {VIDEO} -c:v mpeg4
flv         libmp3lame      44100 2
flv         aac             44100 2
flv+piped   aac             44100 2  {PIPED}
flv         libspeex        16000 1
flv         nellymoser      16000 1
flv         adpcm_swf       44100 2
ts          aac             44100 2
ts          mp2             44100 2
ts          ac3             44100 2
ts          libopus         48000 2
ts+video    aac             44100 2  {VIDEO} -c:v mpeg2video -r 25
m2ts        ac3             48000 2
mpg         mp2             44100 2
mpg         ac3             44100 2
mpg+video   mp2             44100 2  {VIDEO} -c:v mpeg1video -r 25
vob         pcm_dvd         48000 2
wv          wavpack         44100 2
tta         tta             44100 2
sf          pcm_s16le       44100 2  -f ircam
sox         pcm_s32le       44100 2
nut         libvorbis       44100 2
rm          ac3             44100 2
rm          real_144         8000 1
wtv         mp2             44100 2
adx         adpcm_adx       44100 2
ast         pcm_s16be_planar 44100 2
mmf         adpcm_yamaha     8000 1
g722        g722            16000 1
gsm         libgsm           8000 1
tco         g723_1           8000 1  -f g723_1 -b:a 6300
sbc         sbc             44100 2
c2          libcodec2        8000 1  -f codec2
mlp         mlp             44100 2
thd         truehd          44100 2  -f truehd
swf         libmp3lame      44100 2
aud         adpcm_ima_ws    22050 1  -f wsaud
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """``encoder`` and ``options`` are ffmpeg's; ``rate`` in Hz."""

    container: str
    encoder: str
    rate: int
    channels: int
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.container}/{self.encoder}"

    @property
    def suffix(self) -> str:
        return "." + self.container.partition("+")[0]


def _kind(line: str) -> Kind:
    container, encoder, rate, channels, *options = line.split()
    return Kind(container, encoder, int(rate), int(channels), tuple(options))


KINDS = tuple(_kind(line) for line in TABLE.strip().splitlines())


@dataclass(frozen=True, slots=True)
class Sound:
    """How long a waveform is, and how much of it in blocks above `AUDIBLE`; seconds."""

    seconds: float
    audible: float


def measured(waveform: NDArray[np.float32]) -> Sound:
    blocks = waveform[: len(waveform) // BLOCK * BLOCK].reshape(-1, BLOCK)
    with np.errstate(over="ignore", invalid="ignore"):  # ffmpeg lets NaN and any size pass
        loud = np.sqrt((blocks.astype(np.float64) ** 2).mean(axis=1)) > AUDIBLE
    return Sound(len(waveform) / RATE, float(loud.sum()) * BLOCK / RATE)


@dataclass(frozen=True, slots=True)
class Reading:
    """By speechkit: the duration of its header in seconds, mono samples at `RATE`, and doubts."""

    probed: float
    waveform: NDArray[np.float32]
    flags: tuple[str, ...]


def read(path: Path) -> Reading:
    """The one place that knows the reader's interface. Raises its errors."""
    info = audio.probe(str(path))
    loaded = audio.load(str(path), sample_rate=RATE)
    return Reading(info.duration, loaded.waveform, (*info.flags, *loaded.flags))


def decode(path: Path, limit: float = 60.0) -> NDArray[np.float32]:
    """The first audio stream by ffmpeg, mono at `RATE`: what came, be it nothing.

    Raises subprocess.TimeoutExpired after ``limit`` seconds.
    """
    command = ["ffmpeg", "-v", "quiet", "-nostdin", "-threads", "1", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-t", f"{LONGEST:g}", "-ac", "1", "-ar", str(RATE)]
    command += ["-f", "f32le", "-"]
    run = subprocess.run(command, capture_output=True, timeout=limit, check=False)
    return np.frombuffer(run.stdout, np.float32, len(run.stdout) // 4)


def write_sources(speech: Path, folder: Path, seconds: float | None = None) -> dict[int, Path]:
    """The speech as WAV, by the number of channels; the second channel runs backwards.

    So a reader that takes one channel, or adds them wrongly, is found out.
    """
    samples, rate = soundfile.read(speech, dtype="float32", always_2d=True)
    mono = samples[: None if seconds is None else int(seconds * rate), 0]
    channels = {1: mono, 2: np.stack([mono, mono[::-1]], axis=1)}
    paths = {
        count: folder / f"{speech.parent.name}-{speech.stem}-{count}.wav" for count in channels
    }
    for count, path in paths.items():
        soundfile.write(path, channels[count], rate, subtype="FLOAT")
    return paths


def make(kind: Kind, sources: dict[int, Path], path: Path) -> str:
    """Writes a file of the kind; what ffmpeg says where it can't, else an empty text."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(sources[kind.channels])]
    command += [*kind.options, "-c:a", kind.encoder, "-ar", str(kind.rate)]
    command += ["-ac", str(kind.channels), "-strict", "-2", "-threads", "1"]
    command += ["-fflags", "+bitexact", "-flags:a", "+bitexact", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode == 0 and path.exists() and path.stat().st_size:
        return ""
    if "Unknown encoder" in run.stderr and kind.encoder in av.codecs_available:
        return _make_by_pyav(kind, sources[kind.channels], path)
    return (run.stderr.strip().splitlines() or ["nothing written"])[0]


def _make_by_pyav(kind: Kind, source: Path, path: Path) -> str:
    """PyAV's wheels encode AMR, Debian's ffmpeg does not."""
    try:
        with av.open(str(source)) as speech, av.open(str(path), "w") as made:
            stream: Any = made.add_stream(kind.encoder, rate=kind.rate, layout="mono")
            for frame in speech.decode(audio=0):
                made.mux(stream.encode(frame))
            made.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as e:
        return str(e)
    return ""
