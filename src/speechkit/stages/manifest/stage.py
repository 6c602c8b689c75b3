"""The manifest stage: properties of audio files, from their headers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from speechkit import keys
from speechkit.errors import AudioTruncated
from speechkit.records import Record, Utterance
from speechkit.runtime.batching import BatchSizes
from speechkit.runtime.stage import Loaded, Processor, Stage


@dataclass(slots=True)
class ManifestProcessor(Processor):
    """`Processor` of the manifest stage."""

    track: str | None = None
    one_by_one: bool = True

    def open(self) -> None:
        pass

    def load(self, utterance: Utterance) -> Loaded:
        from speechkit.io import audio

        info = audio.probe(utterance.audio, track=self.track)
        end = utterance.offset + (utterance.duration or 0.0)
        if utterance.offset >= info.duration or end > info.duration + audio.SLACK:
            raise AudioTruncated(
                f"{utterance.audio}: is {info.duration:.2f} s long, but the manifest asks for up "
                f"to {end:g} s"
            )
        return Loaded(utterance, info, info.duration)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        for loaded in batch:
            utterance, info = loaded.utterance, loaded.data
            results = {
                "duration": utterance.duration or round(info.duration - utterance.offset, 6),
                "sample_rate": info.sample_rate,
                "channels": info.channels,
            }
            # A header doesn't remove flags that decoding has set.
            flags = [*keys.flags_of(utterance.record), *info.flags]
            yield [keys.with_results(utterance.record, "manifest", results, flags)]


def manifest_stage(track: str | None = None) -> Stage:
    return Stage(
        name="manifest",
        processor=ManifestProcessor(track),
        batch_audio=math.inf,  # reading a header takes the same time at any length
        options={"track": track},
        result_keys=("duration", "sample_rate", "channels"),
        batch_sizes=BatchSizes(most=100),
    )
