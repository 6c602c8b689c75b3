"""The engine ``transformers``: HuBERT of fairseq's or transformers' files, our own vocoder."""

from __future__ import annotations

from typing import Any

from speechkit.engines.s2s import vocoder
from speechkit.engines.s2s.engine import Parts, SpeechToSpeech
from speechkit.engines.s2s.features import Features


def transformers(*, allow_reinit: bool = False, **options: Any) -> SpeechToSpeech:
    """``allow_reinit``: random numbers for weights whose shapes disagree with the configuration;
    ``options`` are `Parts`."""

    def encode(*given: Any) -> Features:
        from speechkit.engines.s2s.hubert import HubertFeatures  # takes seconds; speech needs none

        return HubertFeatures(*given, allow_reinit=allow_reinit)

    return SpeechToSpeech("transformers", encode, vocoder.build, Parts(**options))
