"""The output folder of a training: whose it is, and who writes to it."""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speechkit.errors import (
    EngineMissing,
    OutputConflict,
    OutputFailed,
    TrainingInterrupted,
    UsageError,
)
from speechkit.io import atomic, safe_open, typed_json
from speechkit.io.checksums import content_stamp
from speechkit.io.file_names import shown
from speechkit.io.inputs import Inputs, Scan
from speechkit.io.run_identity import RunIdentity
from speechkit.runtime.stopping import GO_ON
from speechkit.training.options import FinetuneOptions

log = logging.getLogger(__name__)

STAGE = "finetune"
RUN, LOCK, SUMMARY = "run.json", ".lock", "summary.json"
#: What a training makes in its folder; everything else in it is left alone.
MADE = re.compile(
    r"(checkpoints|evaluations)/\.?step-\d{6,}(\.new|\.old|\.gone)?"
    r"|\.?(best|last|best-ct2)(\.new|\.old|\.gone|\.part)?"
    r"|validated\.jsonl(\.part)?|\.validated\.jsonl\..*|(training-data|metrics)\.jsonl|summary\.json"
)
BEFORE = (LOCK, f".{RUN}.*.tmp", "slurm")  # what may be there before a training has begun
_MOST_BYTES = 1 << 20  # of run.json
#: Options that change no result, or only where it is, or how exactly it is computed.
_NOT_PINNED = (
    *("train", "evaluation", "guards", "model", "output", "offline", "restart", "export"),
    *("batch_size", "device", "workers", "gradient_checkpointing", "save_every", "keep_every"),
)


def identity(options: FinetuneOptions, model: Path) -> RunIdentity:
    """What a training that goes on must agree in: options, inputs, and the files of the model.

    Raise `UsageError` for bad inputs, `EngineMissing` for a model that can't be read.
    """
    pinned = {name: value for name, value in asdict(options).items() if name not in _NOT_PINNED}
    scan = _scan("training data", options.train)
    others = {
        "evaluation_set": _fingerprint("--eval", options.evaluation),
        "guard_sets": [_fingerprint("--guard", [guard]) for guard in options.guards],
    }
    if options.augmentation.noise:
        noise = str(options.augmentation.noise)
        pinned["augmentation"]["noise"] = noise
        others["noise_files"] = _fingerprint("--noise", [noise])
    try:
        files = [path for path in model.iterdir() if path.is_file() and path.suffix != ".md"]
        others["model_files"] = content_stamp(files)
    except OSError as e:
        raise EngineMissing(f"--model {model}: can't be read: {e.strerror}") from e
    return RunIdentity(STAGE, {**pinned, **others}, scan.fingerprint, scan.count, scan.written)


class RunFolder:
    """The folder, locked against a second training while the block lasts.

    Raise `OutputConflict` for another training's or a foreign folder, and where another process
    writes to it; `OutputFailed` where it can't be written. ``restart`` removes what a training made
    before, its checkpoints first.
    """

    def __init__(self, folder: Path, identity: RunIdentity, *, restart: bool = False) -> None:
        self.folder = folder
        self._identity = identity
        self._restart = restart
        self._stack = ExitStack()

    def __enter__(self) -> RunFolder:
        with ExitStack() as stack, atomic.output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign()
            self._lock(stack)
            self._claim()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_done(self) -> bool:
        """Whether the training was finished before."""
        return (self.folder / SUMMARY).is_file()

    def _refuse_foreign(self) -> None:
        """A folder without the record of a training has to be empty."""
        if (self.folder / RUN).exists():
            return
        for path in sorted(self.folder.iterdir()):
            if not any(path.match(pattern) for pattern in BEFORE):
                raise OutputConflict(
                    f"{shown(self.folder)}: holds other files ({shown(path.name)}) and no "
                    "training; name another --output-dir"
                )

    def _lock(self, stack: ExitStack) -> None:
        file = stack.enter_context(safe_open.open_append(self.folder / LOCK))
        try:
            safe_open.lock(file)
        except OSError as e:
            if e.errno == errno.EWOULDBLOCK:
                raise OutputConflict(
                    f"{shown(self.folder)}: another training is writing this folder"
                ) from e
            log.warning(
                "%s: this file system has no locks (%s): see to it that no second training "
                "writes this folder",
                self.folder,
                e.strerror,
            )

    def _claim(self) -> None:
        """Record whose folder it is, unless it is this training's already."""
        record = self.folder / RUN
        known = self._known(record)
        difference = None if known is None else self._identity.difference(known)
        afresh = self._restart or (difference is not None and not self._has_trained())
        if difference and not afresh:
            raise OutputConflict(
                f"{shown(self.folder)}: a training with {difference}; finish that one, name "
                "another --output-dir, or start over with --restart"
            )
        if known is not None and afresh:
            self._remove_made()
        if known is None or afresh:
            atomic.sweep(record)
            atomic.write_text(record, json.dumps(self._identity.header(), indent=1) + "\n")

    def _has_trained(self) -> bool:
        """Whether there is a checkpoint, without which another training may take the folder."""
        return any(self.folder.glob("checkpoints/step-*"))

    def _known(self, record: Path) -> Mapping[str, Any] | None:
        """The identity of the training that has begun here, None for a new folder."""
        try:
            known = typed_json.parse(safe_open.read_bounded(record, _MOST_BYTES))
            self._identity.difference(known)
        except FileNotFoundError:
            return None
        except ValueError as e:
            raise OutputConflict(
                f"{shown(record)}: is not the record of a training; name another --output-dir"
            ) from e
        return dict(known)

    def _remove_made(self) -> None:
        """The checkpoints first, without which the rest is no training to go on with."""
        for pattern in ("checkpoints/*", "evaluations/*", "*"):
            for path in sorted(self.folder.glob(pattern)):
                if not MADE.fullmatch(path.relative_to(self.folder).as_posix()):
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


@contextmanager
def resumable() -> Iterator[None]:
    """Around the work in a folder, which goes on from there where an output could not be written.

    Raise `TrainingInterrupted` for `OutputFailed`.
    """
    try:
        yield
    except TrainingInterrupted:
        raise
    except OutputFailed as e:
        raise TrainingInterrupted(
            f"{e}; what was written before is whole: make room, and {GO_ON}"
        ) from e


def _fingerprint(named: str, sources: Sequence[str]) -> str:
    return _scan(named, sources).fingerprint[:16] if sources else ""


def _scan(named: str, sources: Sequence[str]) -> Scan:
    if "-" in sources:
        raise UsageError(f"{named}: stdin can be read only once; name a file")
    with Inputs(sources) as inputs:
        return inputs.scan()
