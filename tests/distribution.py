"""How `pytest --dist loadfile` shares the tests out between its processes."""

from __future__ import annotations

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
