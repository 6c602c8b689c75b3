"""The processes of a training, one for each GPU, and what they tell each other.

Started by torchrun, or by another launcher that sets torchrun's variables. Loads torch only where
there are several.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from speechkit.errors import Drained, EngineFailed, SpeechkitError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")

#: For the processes to find each other, and for a sum of gradients, which all begin together.
MEETING = timedelta(minutes=30)
#: For everything else: rank 0 may evaluate for hours. That a process has ended is noticed at once,
#: because its connections close.
PATIENCE = timedelta(days=7)
BUCKET = 1 << 24  # values, 64 MiB: gradients that are summed at once

_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_STOPPED = "another process of the training was stopped"


class Ranks:
    """One process of a training, ``rank`` of ``size``. By default it is alone and sends nothing.

    ``device``: the GPU of this process, None if it may choose. All ranks have to make the same
    calls in the same order. A call raises `EngineFailed` if another process has ended, and
    `Drained` if it has left the context with exit code 75. A signal is handled after the call.
    """

    def __init__(self) -> None:
        self.rank = 0
        self.size = 1
        self.device: str | None = None
        self._bucket: Tensor | None = None
        self._messages: Any = None  # the group for all but gradients
        self._left = False

    @classmethod
    def of_environment(
        cls, device: str = "auto", *, meeting: timedelta = MEETING, patience: timedelta = PATIENCE
    ) -> Ranks:
        """Meet the other processes, if torchrun's variables tell of several.

        ``device``: as for a `Trainer`. Raises `UsageError` for variables that make no sense or too
        few GPUs, and `EngineFailed` if a process is missing.
        """
        ranks = cls()
        size = _number("WORLD_SIZE", "1")
        if size > 1:
            ranks._meet(size, device, meeting, patience)
        return ranks

    def __enter__(self) -> Ranks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave together, at the end or to be resumed, because launchers kill all if one fails."""
        resumable = isinstance(error, SpeechkitError) and error.exit_code == Drained.exit_code
        if self.size == 1 or (error and not resumable):
            return
        from torch import distributed

        if not self._left:
            with _undisturbed(), _heard():
                self._exchange(None, leaves=resumable)
        distributed.destroy_process_group()

    def sum_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Sum in place, in float32: every rank gets the same bits."""
        if self.size == 1:
            return
        import torch

        self.wait()  # without the time limit of the sums
        with _undisturbed():
            for group in _groups(gradients):
                if len(group) == 1 and _summable(group[0]):
                    _sum_in_place(group[0])
                    continue
                sizes = [gradient.numel() for gradient in group]
                flat = self._flat(group[0], sum(sizes))
                parts = [
                    part.view(gradient.shape)
                    for part, gradient in zip(flat.split(sizes), group, strict=True)
                ]
                torch._foreach_copy_(parts, group)
                _sum_in_place(flat)
                torch._foreach_copy_(group, parts)

    def sum(self, *numbers: float) -> tuple[float, ...]:
        """Sum in the order of the ranks."""
        return tuple(map(sum, zip(*self.gather(numbers), strict=True)))

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank."""
        return any(self.gather(flag))

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in their order."""
        if self.size == 1:
            return [value]
        with _undisturbed(), _heard():
            said = self._exchange(value)
        self._left = any(leaves for leaves, _ in said)
        if self._left:
            raise Drained(f"{_STOPPED}; run the same command again to resume")
        return [theirs for _, theirs in said]

    def share(self, value: Value) -> Value:
        """Return the value of rank 0."""
        return self.gather(value if self.rank == 0 else None)[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Return once all ranks are here, for hours if need be."""
        self.gather(None)

    def _meet(self, size: int, device: str, meeting: timedelta, patience: timedelta) -> None:
        from torch import distributed

        missing = [name for name in _VARIABLES if not os.environ.get(name)]
        if missing:
            raise UsageError(
                f"WORLD_SIZE={size}, but {missing[0]} is not set; start the training with torchrun"
            )
        rank = _number("RANK")
        gpu = _gpu(device, _number("LOCAL_RANK"))
        try:
            backend = "nccl" if gpu else "gloo"
            distributed.init_process_group(backend, rank=rank, world_size=size, timeout=meeting)
            self._messages = distributed.new_group(backend="gloo", timeout=patience)
        except (RuntimeError, ValueError) as e:  # each a torch.distributed.DistError
            raise EngineFailed(
                f"rank {rank} of {size} doesn't find the others at {os.environ['MASTER_ADDR']}:"
                f"{os.environ['MASTER_PORT']}: {str(e).partition(chr(10))[0]}"
            ) from e
        self.rank, self.size, self.device = rank, size, gpu
        if gpu and len({*self.gather(_serial_number(gpu))}) < size:
            raise UsageError(f"{size} processes share fewer GPUs; start one process a GPU")

    def _exchange(self, value: object, *, leaves: bool = False) -> list[tuple[bool, Any]]:
        """What each rank says: whether it leaves before its work is done, and a value."""
        from torch import distributed

        said: list[Any] = [None] * self.size
        distributed.all_gather_object(said, (leaves, value), group=self._messages)
        return said

    def _flat(self, like: Tensor, values: int) -> Tensor:
        """Memory for a sum, on the device of a gradient."""
        import torch

        if self._bucket is None or len(self._bucket) < values:
            self._bucket = torch.empty(values, dtype=torch.float32, device=like.device)
        return self._bucket[:values]


def is_first() -> bool:
    """Whether this process is that of rank 0, which alone writes and reports."""
    return _number("WORLD_SIZE", "1") <= 1 or _number("RANK") == 0


def _groups(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours with at most `BUCKET` values, and each larger gradient alone."""
    group: list[Tensor] = []
    values = 0
    for gradient in gradients:
        if group and values + gradient.numel() > BUCKET:
            yield group
            group, values = [], 0
        group.append(gradient)
        values += gradient.numel()
    if group:
        yield group


def _summable(gradient: Tensor) -> bool:
    """Whether it needs no copy."""
    return gradient.is_contiguous() and str(gradient.dtype) == "torch.float32"


def _sum_in_place(tensor: Tensor) -> None:
    from torch import distributed

    with _heard():
        distributed.all_reduce(tensor)


@contextmanager
def _heard() -> Iterator[None]:
    """Around what fails where another process has ended."""
    try:
        yield
    except RuntimeError as e:  # torch.distributed has nothing narrower
        raise EngineFailed(
            "another process of the training has ended, or can't be reached; see its own message "
            f"({str(e).partition(chr(10))[0]})"
        ) from e


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Inside, signals wait: a handler that raises would leave the ranks at different calls."""
    came: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for heard in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            if callable(handler := signal.getsignal(heard)):
                handlers[heard] = handler
                signal.signal(heard, lambda *signalled: came.append(signalled))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came:
            handlers[number](number, frame)


def _number(variable: str, default: str = "") -> int:
    text = os.environ.get(variable, default)
    if not text.isdecimal():
        raise UsageError(f"{variable}={text}: not a number; torchrun sets it")
    return int(text)


def _gpu(device: str, local: int) -> str | None:
    """The GPU of the ``local``-th process on this machine, None for the CPU."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return None
    if device not in ("auto", "cuda"):
        raise UsageError(f"--device {device}: several processes have a GPU each; leave it out")
    count = torch.cuda.device_count()
    if count > 1 and local >= count:
        raise UsageError(f"process {local + 1} of this machine has no GPU: there are {count}")
    number = local if count > 1 else 0  # srun may show each process its own alone
    torch.cuda.set_device(number)
    return f"cuda:{number}"


def _serial_number(gpu: str) -> str:
    import torch

    return str(torch.cuda.get_device_properties(gpu).uuid)
