"""The work of the loader's processes: the audio of an example, decoded and augmented."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from speechkit.records import Utterance
from speechkit.runtime.stage import Loaded, Payload, Processor, load_audio
from speechkit.training.augmentation import Augmenter, chance

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ExampleAudio(Processor):
    """`Processor` of the loader.

    Its answer: float32 samples, the ``seed`` of the example, the ``speed`` at which the audio was
    played, and whether it is ``unaugmented`` because its augmentation failed.
    """

    augmenter: Augmenter
    seed: int
    channel: int | None
    track: str | None
    one_by_one: bool = True

    def open(self) -> None:
        pass

    def load(self, utterance: Utterance) -> Loaded:
        audio = load_audio(utterance, self.channel, self.track).data
        return Loaded(utterance, audio.waveform, audio.seconds)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[Payload]:
        for loaded in batch:
            record = loaded.utterance.record
            random = chance(self.seed, record["epoch"], record["index"])
            seed = int(random.integers(1 << 63))
            waveform, speed, unaugmented = loaded.data, 1.0, False
            try:
                waveform, speed = self.augmenter.changed(waveform, random)
            except Exception as e:  # whatever is wrong with the noise costs but itself
                log.info("%s: not augmented: %s", loaded.utterance.audio, e)
                unaugmented = True
            data = np.ascontiguousarray(waveform, np.float32).tobytes()
            yield Payload({"seed": seed, "speed": speed, "unaugmented": unaugmented}, data)
