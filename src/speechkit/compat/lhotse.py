"""lhotse, which NeMo imports, without a folder of its own below the user's."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

ENV = "lhotse.tools.env"


def forgo_tools() -> None:
    """Before the first import of lhotse, which otherwise makes ``~/.lhotse/tools`` and adds to
    Python's path and the shell's what may lie there: a decoder of SPHERE files."""
    lhotse = None if "lhotse" in sys.modules else find_spec("lhotse")
    if lhotse is None or lhotse.origin is None:
        return
    file = Path(lhotse.origin).parent / "tools" / "env.py"
    spec = spec_from_file_location(ENV, file)
    if not file.is_file() or spec is None or spec.loader is None:
        return
    env = module_from_spec(spec)
    spec.loader.exec_module(env)
    env.add_tools_to_path = lambda: None  # type: ignore[attr-defined]
    sys.modules[ENV] = env
