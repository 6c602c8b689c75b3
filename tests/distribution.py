"""How `pytest --dist loadfile` shares the tests out between its processes."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

#: Where the names of files begin that share what takes long to begin, a cluster or imports. The
#: cluster's tests wait more than they compute: in one process they leave the CPUs to the others.
TOGETHER = ("tests/slurm/", "tests/engines/test_nemo", "tests/engines/test_s2s", "tests/compat/")


class ByPreparation(LoadFileScheduling):
    """File by file, but for those of ``TOGETHER``, which one process has."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (beginning for beginning in TOGETHER if nodeid.startswith(beginning))
        return next(shared, super()._split_scope(nodeid))
