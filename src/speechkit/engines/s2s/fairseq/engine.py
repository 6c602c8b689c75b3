"""The engine ``fairseq``: fairseq's own HuBERT and unit HiFi-GAN, through compat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechkit.compat import patched_imports
from speechkit.engines.encoders.fairseq_hubert import FairseqFeatures
from speechkit.engines.s2s import vocoder
from speechkit.engines.s2s.options import S2sEngineOptions
from speechkit.engines.s2s.speech_to_speech import SpeechToSpeech


def fairseq(options: S2sEngineOptions) -> SpeechToSpeech:
    """``options.model`` is a fairseq checkpoint."""
    return SpeechToSpeech("fairseq", FairseqFeatures, build_vocoder, options)


def build_vocoder(model: Path, config: Mapping[str, Any]) -> Any:
    """fairseq's generator. Raise `EngineMissing`."""
    package = patched_imports.fairseq()
    vocoder.build(model, config)  # refuses what its weights don't fit, before memory is taken
    with patched_imports.loading_errors(model, "fairseq"):
        speech = package.models.text_to_speech
        generator = speech.codehifigan.CodeGenerator(dict(config))
        generator.load_state_dict(vocoder.read_weights(model))
        generator.remove_weight_norm()
        return generator
