"""The settings of a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechkit.runtime.worker_plan import Hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where a server listens, what it keeps, and what it refuses.

    ``allowed_hosts``: names beside its address by which requests may call it. ``data``: folder of
    the jobs. ``token``: the secret that every request has to know, None for no secret. ``engine``,
    ``model``: those of requests that name none; ``model`` may be a path. ``idle``: seconds after
    which an unused model is unloaded. ``keep``: seconds after which a finished job is removed.
    ``max_upload``: bytes of a request's body. ``max_queue``: unfinished jobs. ``per_client``:
    unfinished jobs and uploads of one address. ``max_live``: live sessions. ``sbatch``: its options
    for jobs that are handed to a cluster.
    """

    data: Path
    engine: str
    model: str | None
    hardware: Hardware
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    token: str | None = None
    idle: float = 600.0
    keep: float = 86400.0
    max_upload: int = 1 << 30
    max_queue: int = 1000
    per_client: int = 200
    max_live: int = 2
    sbatch: tuple[str, ...] = ()
