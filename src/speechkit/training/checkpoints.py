"""The checkpoints of a training: where it goes on after a kill, and the models that come out.

``OUT/checkpoints/step-000100/`` holds ``model/``, which transformers and `asr` load, the state of
the trainer, ``state.json`` and ``checksums.json``. ``OUT/best/`` and ``OUT/last/`` are copies of
such a model. Each folder is filled under a hidden name, sealed, and renamed.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from speechkit.engines.finetune.protocol import Trainer
from speechkit.errors import OutputFailed, SpeechkitError
from speechkit.io import atomic
from speechkit.io.safe_open import link_error
from speechkit.training import sealed_folder
from speechkit.training.state import TrainingState, load_state

log = logging.getLogger(__name__)

MODEL, STATE = "model", "state.json"
BEST, LAST = "best", "last"
KEPT = 2  # whole checkpoints, so that a damaged one costs only the steps since the one before
LINKED = 1 << 20  # bytes; smaller files are copied, because people edit them
NAME = re.compile(r"step-(\d{6,})")
_NEW, _OLD, _GONE = "new", "old", "gone"  # being written, being replaced, being removed
_REMAINS = re.compile(rf"\.({NAME.pattern}|{BEST}|{LAST})\.({_NEW}|{_OLD}|{_GONE})")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as safetensors reports those of writing


@dataclass(frozen=True, slots=True)
class Checkpoint:
    folder: Path
    state: TrainingState

    @property
    def model(self) -> Path:
        return self.folder / MODEL


class Checkpoints:
    """Those in the output folder of a training, which one process writes at a time.

    Every method that writes raises `OutputFailed`; what was there before is then still whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / "checkpoints"
        self._flaws: dict[int, str] = {}  # of those that were looked at, "" for none

    def sweep(self) -> None:
        """Put right what a killed process left behind."""
        with atomic.output_errors(self._home):
            for folder in (self._folder, self._home):
                for left in sorted(folder.glob(".*")):
                    if found := _REMAINS.fullmatch(left.name):
                        _tidy(folder / found[1])

    def steps(self) -> list[int]:
        """In rising order, of whole and damaged ones."""
        names = (NAME.fullmatch(path.name) for path in self._home.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def write(self, state: TrainingState, trainer: Trainer) -> Path:
        """Write the checkpoint of a step, in place of a former one of the same step."""
        final = self.path(state.step)
        with _writing(final), _replacing(final) as new:
            model = new / MODEL
            model.mkdir()
            trainer.save_model(model)
            trainer.save_state(new)
            (new / STATE).write_text(state.dump(), encoding="utf-8")
            sealed_folder.seal(new)
        self._flaws[state.step] = ""
        return final

    def newest(self, most: int | None = None) -> Checkpoint | None:
        """The newest whole one, of step ``most`` at the most; warns of each that is passed over."""
        for step in reversed(self.steps()):
            if (most is None or step <= most) and self.is_whole(step):
                return self.read(step)
        return None

    def read(self, step: int) -> Checkpoint:
        """The checkpoint of a step. Raise OSError, and ValueError for a malformed state."""
        folder = self.path(step)
        found = load_state((folder / STATE).read_bytes())
        if found.step != step:
            raise ValueError(f"it is of step {found.step}")
        return Checkpoint(folder, found)

    def is_whole(self, step: int) -> bool:
        """Whether a checkpoint has what was written; warns once of one that hasn't."""
        if step not in self._flaws:
            if flaw := self._find_flaw(step):
                self.pass_over(step, flaw)
            else:
                self._flaws[step] = ""
        return not self._flaws[step]

    def doubt(self) -> None:
        """Look anew at those that were whole: they may be damaged since."""
        self._flaws = {step: flaw for step, flaw in self._flaws.items() if flaw}

    def pass_over(self, step: int, flaw: str) -> None:
        """Take a checkpoint for damaged, and say so."""
        self._flaws[step] = flaw
        log.warning("%s: passed over, because %s", self.path(step), flaw)

    def publish(self, step: int, name: str) -> Path:
        """Make the model of a checkpoint the folder `BEST` or `LAST` of the output."""
        source, final = self.path(step) / MODEL, self._folder / name
        with _writing(final), _replacing(final) as new:
            for path in sealed_folder.files(source):
                copy = new / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(path, copy)
            sealed_folder.sync_tree(new)
        return final

    def withdraw(self, name: str) -> None:
        """Remove the folder `BEST` of steps that have been abandoned."""
        _remove(self._folder / name)

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of later steps, the latest first."""
        for later in reversed(self.steps()):
            if later > step:
                _remove(self.path(later))

    def prune(self, best: int, every: int, good: int) -> None:
        """Remove all but the newest whole ones, the best, and those of each ``every`` steps.

        The newest whole ones are `KEPT` of all, and that of step ``good`` or before, to which the
        training returns if it diverges. The best is also that of each of these.
        """
        newest = reversed(self.steps())
        whole = set(islice((step for step in newest if self.is_whole(step)), KEPT))
        if checkpoint := self.newest(good):
            whole.add(checkpoint.state.step)
        bests = {best, *(self.read(step).state.best for step in whole)} - {0}
        for step in self.steps():
            is_nth = every > 0 and step > 0 and step % every == 0
            if step < max(whole, default=0) and step not in {*whole, *bests} and not is_nth:
                _remove(self.path(step))

    def path(self, step: int) -> Path:
        return self._home / f"step-{step:06d}"

    def _find_flaw(self, step: int) -> str:
        if flaw := sealed_folder.flaw(self.path(step)):
            return flaw
        try:
            self.read(step)
        except OSError as e:
            return f"{STATE} can't be read: {e.strerror}"
        except ValueError as e:
            return f"{STATE} is not the state of a training: {e}"
        return ""


@contextmanager
def _replacing(final: Path) -> Iterator[Path]:
    """Yield a new folder that gets the name ``final`` when the block ends without an error.

    Between the two renames of a replacement the name is missing; `_tidy` puts that right.
    """
    if final.is_symlink():
        raise link_error(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    _tidy(final)
    new = _beside(final, _NEW)
    try:
        new.mkdir()
        yield new
        if final.exists():
            final.rename(_beside(final, _OLD))
        new.rename(final)
        atomic.sync_folder(final.parent)
    finally:
        _tidy(final)


def _tidy(final: Path) -> None:
    """Put back the former folder where no other has its name, and remove what else is left."""
    old = _beside(final, _OLD)
    if old.exists() and not final.exists():
        old.rename(final)
    for ending in (_NEW, _OLD, _GONE):
        shutil.rmtree(_beside(final, ending), ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove a folder, which has another name before any of its files is gone."""
    with atomic.output_errors(folder):
        if folder.exists():
            gone = _beside(folder, _GONE)
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f".{folder.name}.{ending}")


def _link_or_copy(path: Path, copy: Path) -> None:
    if path.stat().st_size >= LINKED:
        try:
            copy.hardlink_to(path)
        except OSError:  # not on this file system
            pass
        else:
            return
    shutil.copyfile(path, copy)
    atomic.sync_file(copy)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an error of writing into an `OutputFailed`, also one of safetensors, which has its
    own."""
    try:
        with atomic.output_errors(path):
            yield
    except SpeechkitError:
        raise
    except Exception as e:
        found = _OS_ERROR.search(str(e))
        if not found:
            raise
        reason = os.strerror(int(found[1]))
        raise OutputFailed(f"{path}: can't be written: {reason}") from e
