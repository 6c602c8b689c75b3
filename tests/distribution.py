"""How `pytest --dist loadfile` shares the tests out between its processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.assertion import rewrite
from xdist.scheduler import LoadFileScheduling

#: Where the names of files begin that import the same for seconds (NeMo, fairseq, a server of s2s),
#: or have a cluster, on which they mostly wait.
TOGETHER = (
    "tests/slurm/",
    "tests/engines/test_nemo",
    "tests/engines/test_s2s",
    "tests/compat/",
)


class ByImports(LoadFileScheduling):
    """File by file, but for those of ``TOGETHER``, which one process has."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (beginning for beginning in TOGETHER if nodeid.startswith(beginning))
        return next(shared, super()._split_scope(nodeid))


def rewrite_assertions(config: pytest.Config) -> None:
    """As pytest does for each file that it imports, for all of them: those of the processes that
    start at once would each rewrite them all, for ten seconds."""
    state = config.stash[rewrite.assertstate_key]
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        if not path.name.startswith(("test_", "conftest")):
            continue
        folder = rewrite.get_cache_dir(path)
        kept = folder / f"{path.stem}{rewrite.PYC_TAIL}"
        if rewrite.try_makedirs(folder) and rewrite._read_pyc(path, kept) is None:
            source, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(state, code, source, kept)
