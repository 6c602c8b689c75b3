"""Imports that a library makes and hardly ever uses, put off until they are used.

`deferred` answers for the named modules with stand-ins. A stand-in's attributes load the module
when they are called, subclassed or read; until then, nothing is an instance of them. Afterwards the
stand-ins are gone from ``sys.modules``, so that others import the modules as ever. A thread that
imports such a module meanwhile may get its stand-in, too, and the module as soon as it uses it.

``except`` takes no stand-in and asks nothing of it, so it fails with a TypeError: defer no module
from which a library imports by name an exception that it catches.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import Lock, get_ident
from types import ModuleType
from typing import Any


@contextmanager
def deferred(names: Iterable[str]) -> Iterator[None]:
    """Defer these modules, with those inside them, where this thread imports them. Modules that
    have been imported already stay as they are; those that aren't installed raise as ever."""
    finder = _Finder(tuple(name for name in names if name not in sys.modules))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.withdraw()


class _Finder(MetaPathFinder, Loader):
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._thread = get_ident()
        self._modules: dict[str, _Module] = {}
        self._withdrawing = Lock()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        is_named = any(_is_within(name, known) for known in self._names)
        if not is_named or get_ident() != self._thread:
            return None
        real = PathFinder.find_spec(name, path)
        if real is None:
            return None
        spec = ModuleSpec(name, self)
        spec.submodule_search_locations = real.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self._modules[spec.name] = _Module(spec.name, self)
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        pass

    def load(self, name: str) -> ModuleType:
        """The real module."""
        self.withdraw(name.partition(".")[0])
        return import_module(name)

    def withdraw(self, package: str = "") -> None:
        """End the stand-ins of a package, or all."""
        with self._withdrawing:
            self._names = tuple(name for name in self._names if not _is_within(name, package))
            for name, module in list(self._modules.items()):
                if _is_within(name, package) and sys.modules.get(name) is module:
                    del sys.modules[name]
                    parent, _, child = name.rpartition(".")
                    if vars(sys.modules.get(parent, module)).get(child) is module:
                        delattr(sys.modules[parent], child)


class _Module(ModuleType):
    def __init__(self, name: str, finder: _Finder) -> None:
        super().__init__(name)
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        if name != "__version__" and sys.modules.get(self.__name__) is self:
            return _Attribute(self, name)
        return getattr(self._finder.load(self.__name__), name)


class _Attribute:
    """A class or function of a module that has not been imported."""

    def __init__(self, module: _Module, name: str) -> None:
        self._module, self._name = module, name

    def _real(self) -> Any:
        module = self._module
        return getattr(module._finder.load(module.__name__), self._name)

    def _known(self) -> Any:
        """The real one if its module has been imported, else a class without instances."""
        imported = sys.modules.get(self._module.__name__)
        return _Never if imported in (None, self._module) else self._real()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._real()(*args, **options)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real(),)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._known())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._known())

    def __or__(self, other: Any) -> Any:  # in annotations
        return Any | other

    __ror__ = __or__


class _Never:
    pass


def _is_within(name: str, package: str) -> bool:
    return not package or f"{name}.".startswith(f"{package}.")
