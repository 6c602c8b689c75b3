"""Imports that are put off until they are used."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from speechkit.compat import deferred_imports
from speechkit.compat.deferred_imports import deferred

HEAVY = "deferred_heavy"
LIBRARY = """\
import {heavy}.inner
from typing import Optional
from {heavy} import Base, Never, double
from {heavy}.inner import VALUE

def is_one(thing: Optional[Base]) -> bool:
    return isinstance(thing, Base) or issubclass(type(thing), Base)

def kept(thing: "Base | None" = None) -> Base | None:
    return thing
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A library that has been imported while the heavy package in it was put off."""
    package = tmp_path / HEAVY
    package.mkdir()
    (package / "__init__.py").write_text(
        "__version__ = '2.0'\nclass Base: name = 'base'\nclass Never: ...\n"
        "def double(x): return 2 * x\n"
    )
    (package / "inner.py").write_text("class VALUE: size = 3\n")
    (tmp_path / "deferred_library.py").write_text(LIBRARY.format(heavy=HEAVY))
    monkeypatch.syspath_prepend(tmp_path)
    with deferred([HEAVY]):
        module = importlib.import_module("deferred_library")
    yield module
    for name in ("deferred_library", HEAVY, f"{HEAVY}.inner"):
        sys.modules.pop(name, None)


def real() -> ModuleType:
    return importlib.import_module(HEAVY)


def test_nothing_is_loaded_until_it_is_used(library: Any) -> None:
    assert HEAVY not in sys.modules
    assert not library.is_one(1)
    assert library.kept(1) == 1
    assert HEAVY not in sys.modules
    assert library.double(4) == 8
    assert sys.modules[HEAVY] is real()


def test_what_is_put_off_is_the_real_thing_afterwards(library: Any) -> None:
    assert library.VALUE.size == 3
    assert library.deferred_heavy.inner.VALUE.size == 3
    assert library.deferred_heavy.__version__ == "2.0"
    assert isinstance(library.Base(), real().Base)
    assert library.is_one(real().Base())
    assert not library.is_one(real().Never())

    class Own(library.Base):  # type: ignore[misc]
        pass

    assert Own.name == "base"
    assert library.is_one(Own())


def test_what_is_used_at_once_is_loaded_at_once(library: Any, tmp_path: Path) -> None:
    (tmp_path / "deferred_eager.py").write_text(f"import {HEAVY}\nlow = {HEAVY}.double(1)\n")
    with deferred([HEAVY]):
        assert importlib.import_module("deferred_eager").low == 2
        assert sys.modules[HEAVY] is real()
    assert sys.modules[HEAVY] is real()


def test_what_is_there_already_stays(library: Any) -> None:
    before = real()
    with deferred([HEAVY]):
        assert importlib.import_module(f"{HEAVY}.inner").VALUE.size == 3
    assert sys.modules[HEAVY] is before


@pytest.mark.parametrize("absent", ["deferred_absent", f"{HEAVY}.absent", f"{HEAVY}.inner.absent"])
def test_what_is_not_installed_is_missing(absent: str, library: Any) -> None:
    with deferred(["deferred_absent", HEAVY]):
        with pytest.raises(ModuleNotFoundError, match=absent):
            importlib.import_module(absent)
        assert importlib.import_module(f"{HEAVY}.inner")
    assert library.double(4) == 8


def test_another_thread_uses_a_module_while_others_are_put_off(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deferred_other.py").touch()
    with deferred([HEAVY, "deferred_other"]):
        stand_in = importlib.import_module(HEAVY)
        asked: list[str] = []
        is_within = deferred_imports._is_within

        def slow(name: str, package: str) -> bool:
            asked.append(name)
            if asked == [HEAVY, "deferred_other", HEAVY]:  # has begun to withdraw the package
                ours.set()
                theirs.wait(10)
            return is_within(name, package)

        ours, theirs = threading.Event(), threading.Event()
        monkeypatch.setattr(deferred_imports, "_is_within", slow)
        found: list[Any] = []
        user = threading.Thread(target=lambda: found.append(stand_in.double(4)))
        user.start()
        assert ours.wait(10)
        importlib.import_module("deferred_other")
        theirs.set()
        user.join()
        assert found == [8]
        assert sys.modules[HEAVY] is not stand_in
    assert sys.modules[HEAVY] is real()
    assert "deferred_other" not in sys.modules
