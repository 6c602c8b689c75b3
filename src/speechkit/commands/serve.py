from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from speechkit.commands.asr_options import RecognitionFlags
from speechkit.commands.console import print_text
from speechkit.commands.device_options import DeviceFlags
from speechkit.commands.options import RunFlags, takes, without
from speechkit.commands.serve_options import ServerFlags
from speechkit.errors import EngineMissing

PACKAGES = ("starlette", "uvicorn", "python_multipart", "websockets")
OF_RUNS = (
    "output",
    "summary",
    "workers",
    "limit",
    "retry_failed",
    "restart",
    "time_limit",
    "metrics",
    "prometheus",
)


@takes(
    server=ServerFlags,
    recognition=without(RecognitionFlags, "words", "chars"),
    device=DeviceFlags,
    run=without(RunFlags, *OF_RUNS),
)
def serve(
    *, server: ServerFlags, recognition: RecognitionFlags, device: DeviceFlags, run: RunFlags
) -> int:
    """Transcribe on a page in the browser, and by OpenAI's API.

    Prints its address when it listens, and serves until Ctrl-C or SIGTERM. Jobs that have not ended
    then, or when it is killed, go on at the next start with the same --data.

    Example: speechkit serve --port 8000 --model base --data DIR
    """
    require_packages()
    from speechkit.runtime import logs
    from speechkit.serving.web import running

    logs.configure(replace(logs.settings(), places={"stage": "serve"}))
    settings = server.settings(recognition, device.hardware())
    running.serve(settings, announce=lambda url: print_text(f"{url}\n"))
    return 0


def require_packages() -> None:
    """Raises `EngineMissing` where a package of the extra is not there."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise EngineMissing(
                f"serve needs {package.replace('_', '-')}: run `pip install 'speechkit[serve]'`"
            )
