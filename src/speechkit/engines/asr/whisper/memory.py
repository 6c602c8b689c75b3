"""The bytes that Whisper's windows take on a device, for the number that is decoded at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechkit.engines.prefetch import AHEAD

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.checkpoint import WhisperConfig

ENCODED = 16  # longest windows encoded at once: from 8 on, more are not faster on an H100
SAMPLES_A_POSITION = 320
FRAMES_A_POSITION = 2
FLOAT = 4  # bytes
# Calls whose waveforms are on the device: the current one, those that wait, and the one that is
# prepared meanwhile or waits for its place.
CALLS = AHEAD + 2


def of_encoder(config: WhisperConfig, itemsize: int) -> int:
    """Bytes of a layer of the encoder at work: inputs, attention, and what is four times as wide.

    ``itemsize``: bytes of a number.
    """
    return ENCODED * 16 * config.max_source_positions * config.d_model * itemsize


def of_window(config: WhisperConfig, itemsize: int) -> int:
    """Bytes of a window in a call: waveforms, features and hidden states with their copies."""
    waveforms = CALLS * SAMPLES_A_POSITION * FLOAT
    features = FRAMES_A_POSITION * config.num_mel_bins * (2 * FLOAT + itemsize)
    hidden = 2 * config.d_model * itemsize
    return config.max_source_positions * (waveforms + features + hidden)


def of_row(config: WhisperConfig, itemsize: int, beams: int) -> int:
    """Bytes of a row of the decoder: caches and scores, in a search of each hypothesis."""
    positions = config.max_source_positions + config.max_target_positions
    cache = 2 * config.decoder_layers * positions * config.d_model * itemsize
    scores = 6 * FLOAT * config.vocab_size
    return (1 if beams == 1 else 1 + beams) * cache + beams * scores
