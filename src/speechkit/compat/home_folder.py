"""Keeps NeMo's imports from writing into the home folder."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from speechkit.io.packaged_models import user_cache

#: Folders in speechkit's cache, by variable, that replace ~/.cache/numba (used where the installed
#: packages can't be written), ~/.cache/matplotlib and ~/.config/matplotlib.
CACHES = {"NUMBA_CACHE_DIR": "numba", "MPLCONFIGDIR": "matplotlib"}
TOOLS = "lhotse.tools.env"


def protect() -> None:
    """Redirect caches and tools; call it before the first import of NeMo."""
    with suppress(OSError):  # there is no home folder
        for variable, name in CACHES.items():
            os.environ.setdefault(variable, str(user_cache() / name))
    _skip_lhotse_tools()


def _skip_lhotse_tools() -> None:
    """Keep lhotse from creating ``~/.lhotse/tools`` when it is imported.

    It would also add a decoder of SPHERE files that may lie there to Python's path and the shell's.
    """
    lhotse = None if "lhotse" in sys.modules else find_spec("lhotse")
    if lhotse is None or lhotse.origin is None:
        return
    file = Path(lhotse.origin).parent / "tools" / "env.py"
    spec = spec_from_file_location(TOOLS, file)
    if not file.is_file() or spec is None or spec.loader is None:
        return
    env = module_from_spec(spec)
    spec.loader.exec_module(env)
    env.add_tools_to_path = lambda: None  # type: ignore[attr-defined]
    sys.modules[TOOLS] = env
