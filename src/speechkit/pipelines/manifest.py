"""Building manifests: what the headers of audio files say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from speechkit.errors import AudioTruncated
from speechkit.pipelines.running.task import Loaded, Stage, Task
from speechkit.records import Record, Utterance


@dataclass(slots=True)
class ManifestTask(Task):
    """`task.Task` of the manifest stage."""

    one_by_one: bool = True

    def open(self) -> None:
        pass

    def load(self, utterance: Utterance) -> Loaded:
        from speechkit.io import audio

        info = audio.probe(utterance.audio)
        end = utterance.offset + (utterance.duration or 0.0)
        if utterance.offset >= info.duration or end > info.duration + audio.SLACK:
            raise AudioTruncated(
                f"{utterance.audio}: {info.duration:.2f} s long, but asked for up to {end:g} s"
            )
        return Loaded(utterance, info, info.duration)

    def compute(self, batch: Sequence[Loaded]) -> Iterator[list[Record]]:
        for loaded in batch:
            utterance, info = loaded.utterance, loaded.data
            yield [
                {
                    **utterance.record,
                    "duration": utterance.duration or round(info.duration - utterance.offset, 6),
                    "sample_rate": info.sample_rate,
                    "channels": info.channels,
                }
            ]


def manifest_stage() -> Stage:
    return Stage(
        name="manifest",
        task=ManifestTask(),
        batch_audio=math.inf,  # it reads headers, which cost the same whatever the length
        options={},
        batch_utterances=100,
    )
