"""What all routes of a server share."""

from __future__ import annotations

import asyncio

from speechkit.serving.web.guard import Address
from speechkit.serving.web.jobs.jobs import Jobs
from speechkit.serving.web.models import ModelList
from speechkit.serving.web.settings import ServerSettings
from speechkit.serving.web.uploads import Uploads
from speechkit.serving.web.workers.warm_workers import WarmWorkers


class Server:
    """``address``: where it listens. ``stopping``: set when it ends, for whoever waits long."""

    def __init__(
        self, settings: ServerSettings, address: Address, jobs: Jobs, workers: WarmWorkers
    ) -> None:
        self.settings = settings
        self.address = address
        self.jobs = jobs
        self.workers = workers
        self.models = ModelList(
            settings, lambda: [(one.engine, one.model) for one in workers.loaded()]
        )
        self.stopping = asyncio.Event()
        self.uploads = Uploads(settings.max_upload, settings.per_client, self.stopping)

    def unfinished(self) -> dict[str, int]:
        """The number of jobs that wait, and of those that run."""
        states = self.jobs.totals().by_state
        return {state: states.get(state, 0) for state in ("queued", "running")}
