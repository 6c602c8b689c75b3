"""The engine ``transformers``: HuBERT of fairseq's or transformers' files, our own vocoder."""

from __future__ import annotations

from typing import Any

from speechkit.engines.encoders.features import Features
from speechkit.engines.s2s import vocoder
from speechkit.engines.s2s.speech_to_speech import SpeechToSpeech
from speechkit.engines.s2s.transformers import TransformersOptions


def transformers(options: TransformersOptions) -> SpeechToSpeech:
    """``options.model``: a fairseq checkpoint, or a folder of transformers."""

    def encode(*given: Any) -> Features:
        from speechkit.engines.encoders.hubert import (
            HubertFeatures,  # takes seconds; speech needs none
        )

        return HubertFeatures(*given, allow_reinit=options.allow_reinit)

    return SpeechToSpeech("transformers", encode, vocoder.build, options)
