"""The options of the server: where it listens, what it keeps, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speechkit.commands.options import in_section
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from speechkit.commands.asr_options import RecognitionFlags
    from speechkit.runtime.worker_plan import Hardware
    from speechkit.serving.web.settings import ServerSettings

AddressOption = in_section("Address")
JobOption = in_section("Jobs")
LimitOption = in_section("Limits")

SHORTEST_TOKEN = 16  # characters
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFlags:
    """The address of a server, its data and its limits."""

    host: Annotated[
        str,
        AddressOption(
            metavar="ADDRESS",
            help="Address to listen on: this machine alone, or another one with --token.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, AddressOption(min=0, max=65535, metavar="N", help="Port. 0: any that is free.")
    ] = 8000
    allowed_host: Annotated[
        list[str] | None,
        AddressOption(
            metavar="NAME",
            help="Another name by which browsers may call the server (repeatable), as that of a "
            "proxy in front of it.",
        ),
    ] = None
    token: Annotated[
        str | None,
        AddressOption(
            metavar="TEXT",
            help="Secret that every request must know, of at least 16 characters. Better given by "
            "the variable SPEECHKIT_SERVE_TOKEN, which other users can't see.",
        ),
    ] = None
    data: Annotated[
        Path,
        JobOption(metavar="DIR", help="Folder of uploads and transcripts, for one server."),
    ] = Path("speechkit-data")
    keep: Annotated[
        float,
        JobOption(
            min=0.0, metavar="HOURS", help="Time after which a finished job is removed, with audio."
        ),
    ] = 24.0
    idle: Annotated[
        float,
        JobOption(
            min=0.0,
            metavar="SECONDS",
            help="Time after which a model that is not used is unloaded.",
        ),
    ] = 600.0
    sbatch: Annotated[
        list[str] | None,
        JobOption(
            metavar="OPTION",
            help="Option for sbatch, such as --sbatch=--gres=gpu:1 (repeatable), for jobs that the "
            "page hands to a cluster.",
        ),
    ] = None
    max_upload: Annotated[
        int, LimitOption(min=1, metavar="MB", help="Megabytes of an upload, with all its files.")
    ] = 1000
    max_queue: Annotated[
        int, LimitOption(min=1, metavar="N", help="Jobs that wait or run at once.")
    ] = 1000
    per_client: Annotated[
        int, LimitOption(min=1, metavar="N", help="Those of them, and uploads, from one address.")
    ] = 200
    max_live: Annotated[
        int, LimitOption(min=0, metavar="N", help="Live transcriptions at once.")
    ] = 2

    def settings(self, recognition: RecognitionFlags, hardware: Hardware) -> ServerSettings:
        """Raises `UsageError`."""
        from speechkit.serving.web.settings import ServerSettings

        return ServerSettings(
            data=self.data,
            engine=recognition.engine,
            model=recognition.model,
            hardware=hardware,
            host=self.host,
            port=self.port,
            allowed_hosts=tuple(self.allowed_host or ()),
            token=self._token(),
            idle=self.idle,
            keep=self.keep * 3600,
            max_upload=self.max_upload * MEGABYTE,
            max_queue=self.max_queue,
            per_client=self.per_client,
            max_live=self.max_live,
            sbatch=tuple(self.sbatch or ()),
        )

    def _token(self) -> str | None:
        if self.token is None:
            return None
        if len(self.token) < SHORTEST_TOKEN or not all("!" <= char <= "~" for char in self.token):
            raise UsageError(
                f"--token: at least {SHORTEST_TOKEN} letters, digits or signs of ASCII; "
                "`openssl rand -hex 16` makes one"
            )
        return self.token
