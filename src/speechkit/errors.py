"""The error tree. A message states the problem, its place and the remedy.

``exit_code`` is that of the process. The right column says when an error is raised.

SpeechkitError                 1  fatal
├── UsageError                 2  invalid options or inputs
│   ├── ManifestError          2  malformed manifest lines (file and line named)
│   └── OutputConflict         2  the output belongs to another run, or another run is writing it
├── EngineMissing              1  a package or model is missing or damaged (the message says how to
│                                 install it)
├── EngineFailed               1  an engine's worker can't start
├── OutputFailed               1  disk full, folder read-only
│   └── TrainingInterrupted   75  the same during a training, whose last checkpoint is whole, or no
│                                 audio can be loaded any more; mend it, and run again to resume
├── NothingToTrain             1  every utterance of the training data was skipped
├── TrainingDiverged           1  losses or gradients are NaN or infinite again and again
├── SourceFailed               1  the audio of a stream broke off; what came before it is out
├── SchedulerFailed            1  SLURM is missing, does not answer or refuses
├── UtteranceError             -  fails one utterance: becomes its error record
│   ├── AudioNotFound             no such file, dangling link, directory
│   ├── AudioUnreadable           not audio, corrupt, permission denied
│   ├── AudioEmpty                no samples
│   ├── AudioTruncated            shorter than its header or the manifest states
│   ├── AudioInvalid              NaN or infinite samples, no such channel
│   ├── AudioTooShort             shorter than a single frame of the model
│   ├── EmbeddingInvalid          the engine makes NaN or infinite values of it
│   ├── UnitsInvalid              no units, or units that the vocoder lacks
│   ├── ResultTooLong             its line would exceed the longest that stages read
│   ├── NameImpossible            the name of its output is not possible for a file
│   ├── OutOfMemory               does not fit in the device's memory even alone
│   ├── WorkerDied                the worker process was killed or crashed on it
│   └── TimeLimit                 the worker exceeded the time limit for its length
├── MergeIncomplete            4  utterances of output and input differ
├── Drained                   75  stopped by a signal or by the caller; run again to resume
└── Stalled                   75  a batch never ended; run again to resume, its utterances alone
"""

from __future__ import annotations

from collections.abc import Sequence


class SpeechkitError(Exception):
    exit_code = 1


class UsageError(SpeechkitError):
    exit_code = 2


class ManifestError(UsageError):
    pass


class OutputConflict(UsageError):
    pass


class EngineMissing(SpeechkitError):
    pass


class EngineFailed(SpeechkitError):
    pass


class OutputFailed(SpeechkitError):
    pass


class TrainingInterrupted(OutputFailed):
    exit_code = 75


class NothingToTrain(SpeechkitError):
    pass


class TrainingDiverged(SpeechkitError):
    pass


class SourceFailed(SpeechkitError):
    pass


class SchedulerFailed(SpeechkitError):
    pass


class UtteranceError(SpeechkitError):
    pass


class AudioNotFound(UtteranceError):
    pass


class AudioUnreadable(UtteranceError):
    pass


class AudioEmpty(UtteranceError):
    pass


class AudioTruncated(UtteranceError):
    pass


class AudioInvalid(UtteranceError):
    pass


class AudioTooShort(UtteranceError):
    pass


class EmbeddingInvalid(UtteranceError):
    pass


class UnitsInvalid(UtteranceError):
    pass


class ResultTooLong(UtteranceError):
    pass


class NameImpossible(UtteranceError):
    pass


class OutOfMemory(UtteranceError):
    pass


class WorkerDied(UtteranceError):
    pass


class TimeLimit(UtteranceError):
    pass


class MergeIncomplete(SpeechkitError):
    exit_code = 4


class Drained(SpeechkitError):
    exit_code = 75


class Stalled(SpeechkitError):
    """``utterances``: the indices of the utterances in the batch."""

    exit_code = 75

    def __init__(self, message: str, utterances: Sequence[int]) -> None:
        super().__init__(message)
        self.utterances = tuple(utterances)
