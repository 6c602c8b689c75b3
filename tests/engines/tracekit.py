"""The command line under strace, in a network namespace without a route."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from speechkit.telemetry_off import SWITCHES

ADDRESSED = ("connect", "sendto", "sendmsg", "sendmmsg")
OPENING = ("open", "openat", "openat2", "creat")
CHANGING = ("mkdir", "mkdirat", "mknod", "mknodat", "truncate", "unlink", "unlinkat", "rmdir")
LINKING = ("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat")
# A question mark is for those that a processor lacks.
TRACED = ",".join(f"?{name}" for name in (*ADDRESSED, *OPENING, *CHANGING, *LINKING))

CALL = re.compile(r"(\w+)\((.*)\) += (.*)")
#: A path, below the folder of the descriptor before it.
PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
ADDRESS = re.compile(r"sa_family=(\w+)(?:, sun_path=\"([^\"]*))?")
FOR_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE)")

NAMES_OF_HOSTS = ("/etc/hosts", "/etc/resolv.conf")
#: Where glibc asks first for the name of the user.
NAMES_OF_USERS = ("AF_UNIX", "/var/run/nscd/socket")
#: Python's own, of what it imports; semaphores; and what keeps nothing.
HARMLESS = re.compile(
    r"mkdir .*/__pycache__|\w+ .*/__pycache__/[^/]+\.pyc(\.\d+)?|\w+ /dev/(shm/sem\.[^/]+|null)"
)


@dataclass(frozen=True)
class Traced:
    """Runs speechkit in ``root``/work, with ``root``/home and ``root``/tmp for HOME and TMPDIR."""

    root: Path

    def run(self, *arguments: object, code: int = 0) -> set[str]:
        """What it asked of others and changed elsewhere than in its output, its cache and TMPDIR,
        a line each."""
        done = subprocess.run(
            [*self._command(), sys.executable, "-m", "speechkit", *map(str, arguments)],
            cwd=self.root / "work",
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        lines = [
            line
            for file in self.root.glob("trace.*")
            for line in file.read_text(errors="replace").splitlines()
        ]
        assert lines, "nothing was traced"
        return {wrong for line in lines for wrong in self._wrong(line)}

    def try_out(self) -> None:
        """Skips where it is not possible."""
        for name in ("strace", "unshare"):
            if shutil.which(name) is None:
                pytest.skip(f"no {name}: scripts/system_packages.sh tests")
        tried = subprocess.run(
            [*self._command(), "true"], capture_output=True, text=True, check=False
        )
        if tried.returncode:
            pytest.skip(f"strace in a network namespace is not allowed here: {tried.stderr}")

    def _command(self) -> list[str]:
        """Each thread has a file of its own, so no call is told in two lines."""
        namespace = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        strace = ["strace", "-ff", "--seccomp-bpf", "-qq", "-y", "-e", "signal=none"]
        return [*namespace, *strace, "-e", f"trace={TRACED}", "-o", str(self.root / "trace")]

    def _environment(self) -> dict[str, str]:
        """Without the switches, which speechkit has to set, and with leave to use the hub."""
        others = (*SWITCHES, "XDG_", "HF_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return {**kept, "HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp")}

    def _wrong(self, line: str) -> Iterator[str]:
        call = CALL.match(line)
        if call is None:
            return
        name, arguments, result = call.groups()
        if name in ADDRESSED:
            found = set(ADDRESS.findall(arguments)) - {NAMES_OF_USERS}
            yield from (f"{name} {' '.join(address).strip()}" for address in found)
            return
        paths = [
            os.path.normpath(self.root.joinpath("work", *path)) for path in PATH.findall(arguments)
        ]
        yield from (f"{name} {path}" for path in paths if path in NAMES_OF_HOSTS)
        reads = name in OPENING and name != "creat" and not FOR_WRITING.search(arguments)
        if not reads and not result.startswith("-1 EEXIST"):
            changed = paths[-1:] if name.startswith("symlink") else paths
            done = {f"{name} {path}" for path in changed if not self._is_ours(path)}
            yield from (one for one in done if not HARMLESS.fullmatch(one))

    def _is_ours(self, path: str) -> bool:
        cache = self.root / "home" / ".cache"
        ours = (self.root / "work", self.root / "tmp", cache / "speechkit")
        return path == str(cache) or any(Path(path).is_relative_to(one) for one in ours)
