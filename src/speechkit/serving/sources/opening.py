"""The source that a word on the command line names."""

from __future__ import annotations

from speechkit.errors import UsageError
from speechkit.serving.sources.source import Source, SourceOptions

STDIN = "-"
MICROPHONE = "microphone"


def open_source(spec: str, options: SourceOptions) -> Source:
    """The source that ``spec`` names: ``-``, a file, ``microphone`` or ``microphone:NAME``.

    Raise `UsageError` where there is none or the options are of another kind of source,
    `SourceFailed` for a file that can't be read, and `EngineMissing` where the microphone's
    library is not installed.
    """
    if not spec:
        raise UsageError(f"SOURCE is empty; name a file, {STDIN} for stdin, or {MICROPHONE}")
    if spec == STDIN:
        from speechkit.serving.sources.stdin import Stdin

        return Stdin(options)
    _refuse_options_of_stdin(spec, options)
    kind, _, device = spec.partition(":")
    if kind == MICROPHONE:
        from speechkit.serving.sources.microphone import Microphone

        return Microphone(device or None, options.channels)
    from speechkit.serving.sources.file import AudioFile

    if options.channels is not None:
        raise UsageError("--channels is of raw PCM on stdin, and of a microphone")
    return AudioFile(spec, paced=options.pace == "1")


def _refuse_options_of_stdin(spec: str, options: SourceOptions) -> None:
    for name in ("rate", "sample_format"):
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is of raw PCM on stdin (-), and {spec} states its own")
