"""Audio on stdin: raw PCM where its rate is told, else WAV."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechkit.errors import UsageError
from speechkit.serving.sources import pcm, wav
from speechkit.serving.sources.conversion import Conversion
from speechkit.serving.sources.pipe import Pipe
from speechkit.serving.sources.source import Source, SourceOptions

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

STDIN = 0
EXAMPLE = "ffmpeg -i talk.mp4 -f s16le -ac 1 -ar 16000 - | speechkit stream - --rate 16000"


class Stdin(Source):
    """Raise `UsageError` where stdin is a terminal or closed."""

    name = "stdin"

    def __init__(self, options: SourceOptions) -> None:
        if sys.stdin is None or os.isatty(STDIN):
            raise UsageError(f"stdin: nothing is piped into it; for example: {EXAMPLE}")
        if options.rate is None and (options.channels or options.sample_format):
            raise UsageError("--channels and --sample-format of raw PCM take its --rate as well")
        self.remarks: deque[str] = deque()
        self._options = options

    def blocks(self) -> Iterator[Waveform]:
        pipe = Pipe(STDIN, self.name)
        rate, channels = self._options.rate, self._options.channels or 1
        sample_format: str = self._options.sample_format or "s16"
        if rate is None:
            header = wav.read_header(pipe)
            rate, channels, sample_format = header.rate, header.channels, header.sample_format
            pieces = header.sound(pipe, self.remarks)
        else:
            pieces = wav.not_wav(pipe)
        frames = pcm.frames(pieces, sample_format, channels, self.name, self.remarks)
        is_empty = True
        for block in Conversion(self.name, rate, self.remarks).waveform(frames):
            is_empty = False
            yield block
        if is_empty:
            raise wav.no_audio(self.name)
