"""PocketSphinx: a small HMM recogniser whose wheel carries a US English model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pocketsphinx

from speechkit.engines.asr.pocketsphinx import PocketSphinxOptions
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine
from speechkit.errors import EngineMissing
from speechkit.records import Hypothesis, Segment, Word

if TYPE_CHECKING:
    from speechkit.engines.protocols import Clip, Waveform

FRAME = 0.01  # seconds; the decoder's frame rate of 100 a second
MIN_SAMPLES = 800  # 50 ms: below a few analysis frames the decoder has nothing to search
VARIANT = re.compile(r"\(\d+\)$")  # "and(2)" is the second pronunciation of "and"


class PocketSphinx(AsrEngine):
    """An AsrEngine; about 0.17 seconds of one core a second of speech.

    ``model`` is a folder laid out as the wheel's own: an acoustic model's folder, a ``.lm.bin``
    and a ``.dict``. Cepstral means are taken over each waveform (``cmn=batch``), so that no
    result depends on earlier ones.
    """

    max_window = 30.0
    least_window = 0.0

    def __init__(self, options: PocketSphinxOptions) -> None:
        paths = _model_files(Path(options.model)) if options.model else {}
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL", cmn="batch", **paths)

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        for clips in utterances:
            yield [self._decode(clip.waveform) for clip in clips]

    def _decode(self, waveform: Waveform) -> Hypothesis:
        if len(waveform) < MIN_SAMPLES:
            return Hypothesis()
        samples = np.rint(waveform * np.float32(32768)).clip(-32768, 32767).astype(np.int16)
        self._decoder.reinit_feat()  # else the noise level heard so far changes words and scores
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        if self._decoder.hyp() is None:
            return Hypothesis()
        words = tuple(
            _word(segment) for segment in self._decoder.seg() if segment.word[0] not in "<[+"
        )
        if not words:
            return Hypothesis()
        mean = sum(word.confidence or 0.0 for word in words) / len(words)
        text = " ".join(word.text for word in words)
        whole = Segment(0.0, len(waveform) / SAMPLE_RATE, text, words, round(mean, 4))
        return Hypothesis((whole,), "en")


def _word(segment: Any) -> Word:
    return Word(
        text=VARIANT.sub("", segment.word),
        start=round(segment.start_frame * FRAME, 3),
        end=round((segment.end_frame + 1) * FRAME, 3),
        confidence=round(min(1.0, max(0.0, segment.prob)), 4),
    )


def _model_files(folder: Path) -> dict[str, str]:
    paths = {
        "hmm": next((path.parent for path in sorted(folder.glob("*/mdef"))), None),
        "lm": next((p for p in sorted(folder.glob("*.lm.bin")) if "phone" not in p.name), None),
        "dict": next(iter(sorted(folder.glob("*.dict"))), None),
    }
    missing = [key for key, path in paths.items() if path is None]
    if missing:
        raise EngineMissing(
            f"{folder}: not a PocketSphinx model, no {' and no '.join(missing)} in it "
            "(expected: a folder with mdef, a .lm.bin and a .dict)"
        )
    return {key: str(path) for key, path in paths.items()}
