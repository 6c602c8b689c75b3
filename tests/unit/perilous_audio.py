"""Audio that kills or holds up the process that loads it, as its name says."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from speechkit.records import Utterance
from speechkit.runtime.stage import Loaded
from speechkit.training.example_audio import ExampleAudio


class PerilousAudio(ExampleAudio):
    """As its base, but for files whose names begin with ``dies``, ``hangs`` or ``once``: that one
    dies where there is no file ``once`` beside it yet."""

    def load(self, utterance: Utterance) -> Loaded:
        path = Path(utterance.audio)
        if path.name.startswith("hangs"):
            time.sleep(600)
        mark = path.with_name("once")
        if path.name.startswith("dies") or (path.name.startswith("once") and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return ExampleAudio.load(self, utterance)
