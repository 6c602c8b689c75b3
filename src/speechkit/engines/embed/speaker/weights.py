"""Resemblyzer's `pretrained.pt`, read without torch: the file of its hash, and no code in it."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.io.packaged_models import verified_content

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

INSTALL = "pip install --no-deps resemblyzer==0.1.4"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
#: Of torch's format before 1.6: pickles of these two, of the machine, of the content and of the
#: storages' names, then the storages: the count of values (int64), and the values.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read() -> dict[str, Array]:
    """The encoder's weights by name. Raise `EngineMissing` where the package is not installed, or
    its file is another one."""
    content = verified_content("resemblyzer", "resemblyzer/pretrained.pt", SHA256, INSTALL)
    return dict(tensors(content)["model_state"])


def tensors(content: bytes) -> Any:
    """The content of a file of torch, each tensor an array. Raise `pickle.UnpicklingError` for a
    file that asks for anything but float32 tensors and plain containers."""
    file = io.BytesIO(content)
    storages: dict[str, Array] = {}
    if [_Inert(file, storages).load() for _ in range(2)] != [MAGIC, PROTOCOL]:
        raise pickle.UnpicklingError("not of torch's format before 1.6")
    _, state, names = (_Inert(file, storages).load() for _ in range(3))
    for name in names:
        count = int.from_bytes(file.read(8), "little")
        storage = storages[name]
        if count != len(storage):
            raise pickle.UnpicklingError(f"the storage {name} has another size than it states")
        storage[:] = np.frombuffer(file.read(storage.nbytes), "<f4")
    return state


class _Inert(pickle.Unpickler):
    """Makes containers, and arrays over ``storages``, which are filled afterwards."""

    def __init__(self, file: io.BytesIO, storages: dict[str, Array]) -> None:
        super().__init__(file)
        self._room = len(file.getbuffer()) // 4
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "FloatStorage"): np.float32,
            ("torch._utils", "_rebuild_tensor_v2"): _array,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"refused, it asks for {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Array:
        """The storage of ``pid``: ("storage", type, name, device, count, view)."""
        _, kind, name, _, count, view = pid
        if kind is not np.float32 or view is not None or not 0 <= count <= self._room:
            raise pickle.UnpicklingError(f"the storage {name} is no float32 of this file")
        return self._storages.setdefault(name, np.empty(count, np.float32))


def _array(
    storage: Array, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> Array:
    """A view of a storage; offset and strides in values."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or last >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)
