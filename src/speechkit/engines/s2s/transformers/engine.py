"""The engine ``transformers``: HuBERT of fairseq's or transformers' files, our own vocoder."""

from __future__ import annotations

from typing import Any

from speechkit.engines.encoders.features import Features
from speechkit.engines.s2s import vocoder
from speechkit.engines.s2s.speech_to_speech import Parts, SpeechToSpeech


def transformers(*, allow_reinit: bool = False, **options: Any) -> SpeechToSpeech:
    """``allow_reinit``: random numbers for weights whose shapes disagree with the configuration;
    ``options`` are `Parts`."""

    def encode(*given: Any) -> Features:
        from speechkit.engines.encoders.hubert import (
            HubertFeatures,  # takes seconds; speech needs none
        )

        return HubertFeatures(*given, allow_reinit=allow_reinit)

    return SpeechToSpeech("transformers", encode, vocoder.build, Parts(**options))
