from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def quick_librosa(monkeypatch: pytest.MonkeyPatch) -> None:
    """librosa, whose import otherwise compiles for half a minute what mel spectra don't call."""
    numba = pytest.importorskip("numba")
    for name in ("vectorize", "guvectorize"):
        monkeypatch.setattr(numba, name, _uncompiled)


def _uncompiled(*_: Any, **__: Any) -> Callable[[Any], Any]:
    return lambda function: function
