"""The engine ``transformers``: HuBERT of fairseq's or transformers' files, our own vocoder."""

from __future__ import annotations

from functools import partial
from typing import Any

from speechkit.engines.s2s import vocoder
from speechkit.engines.s2s.engine import Parts, SpeechToSpeech
from speechkit.engines.s2s.hubert import HubertFeatures


def transformers(*, allow_reinit: bool = False, **options: Any) -> SpeechToSpeech:
    """``allow_reinit``: random numbers for weights whose shapes disagree with the configuration;
    ``options`` are `Parts`."""
    encode = partial(HubertFeatures, allow_reinit=allow_reinit)
    return SpeechToSpeech("transformers", encode, vocoder.build, Parts(**options))
