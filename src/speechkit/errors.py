"""The one error tree. A message says what, where and what to do; ``exit_code`` ends the process.

SpeechkitError                 1  fatal
├── UsageError                 2  options or inputs that can't be meant
│   ├── ManifestError          2  malformed manifest lines (file and line named)
│   └── OutputConflict         2  the output belongs to another run, or another run is writing it
├── EngineMissing              1  a package or model is not installed, or damaged (way out named)
├── EngineFailed               1  an engine's worker can't start
├── OutputFailed               1  disk full, folder read-only
├── SchedulerFailed            1  SLURM is not there, does not answer or refuses
├── UtteranceError             -  costs one utterance: becomes its error record
│   ├── AudioNotFound             no such file, dangling link, directory
│   ├── AudioUnreadable           not audio, corrupt, permission denied
│   ├── AudioEmpty                no samples
│   ├── AudioTruncated            ends before the header or the manifest says
│   ├── AudioInvalid              NaN or infinite samples, no such channel
│   ├── AudioTooShort             shorter than a single frame of the model
│   ├── UnitsInvalid              none at all, or some that the vocoder has not
│   ├── ResultTooLong             its line would be longer than any stage reads
│   ├── NameImpossible            no file can have the name that its output would have
│   ├── OutOfMemory               does not fit in the device's memory even alone
│   ├── WorkerDied                the worker process was killed or crashed on it
│   └── TimeLimit                 the worker took longer than the limit for its length
├── MergeIncomplete            4  output set differs from input set
├── Drained                   75  stopped by a signal; run again to go on
└── Stalled                   75  a batch never ended; run again to go on, with its utterances alone
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
    """``utterances``: the indices of those that were in the batch."""

    exit_code = 75

    def __init__(self, message: str, utterances: Sequence[int]) -> None:
        super().__init__(message)
        self.utterances = tuple(utterances)
