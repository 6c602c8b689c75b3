"""A stage over inputs, as one call: what every stage command does, and the Python API."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.formats.format import Format
from speechkit.io import manifest
from speechkit.io.file_names import MOST_BYTES
from speechkit.io.hardware import granted_cpus
from speechkit.io.inputs import Inputs
from speechkit.records import Record
from speechkit.runtime.export import Export
from speechkit.runtime.output_tree import survey_of
from speechkit.runtime.pool import PoolOptions
from speechkit.runtime.progress import Listener
from speechkit.runtime.recordings import recordings, tree_of
from speechkit.runtime.runner import Runner, RunOptions
from speechkit.runtime.stage import Placement, Stage
from speechkit.runtime.stopping import StopRequest
from speechkit.runtime.summary import Summary

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a stage is run and where its results go; nothing here changes a result.

    ``output`` is the manifest of results, which makes the run resumable; None: they are emitted.
    ``workers`` processes, 0: as many as the stage wants of the CPUs granted. ``limit``: the first
    utterances alone. ``retry_failed`` computes the failed utterances of ``output`` again,
    ``restart`` everything. ``time_limit``: seconds of work allowed for each second of audio (and
    three times as many at least), 0 for no limit. ``formats`` are text files in ``text_folder``, a
    file a recording or, with ``one_file``, one for all; without a folder one format is emitted in
    the place of the manifest.
    """

    output: str | None = None
    workers: int = 0
    limit: int | None = None
    retry_failed: bool = False
    restart: bool = False
    time_limit: float = 20.0
    formats: Sequence[Format] = ()
    text_folder: Path | None = None
    one_file: bool = False


def run(
    stage: Stage,
    sources: Sequence[Source],
    options: JobOptions | None = None,
    *,
    emit: Callable[[str], object] | None = None,
    progress: Listener | None = None,
    cancel: threading.Event | None = None,
    signals: bool = False,
) -> Summary:
    """Take every utterance of ``sources`` through a stage and return the account of it.

    ``sources`` are audio files, folders, manifests, or ``-`` for a manifest on stdin. Without an
    output, ``emit`` is given the results as text: JSON lines as they come, in input order, or at
    the end the one format that was asked for. ``progress`` is called in this thread after each
    utterance. Setting ``cancel`` from any thread stops the run within seconds, with `Drained`, and
    the same call goes on from there. ``signals``: SIGTERM, SIGUSR1 and SIGINT do the same; for
    programs that end after it, and in their main thread alone.

    Raises the fatal half of the error tree (`SpeechkitError`); what fails in an utterance is in its
    record.
    """
    options = _checked(stage, sources, options or JobOptions())
    with stage.inputs(_names(sources), limit=options.limit) as inputs:
        export = _export(inputs, options)
        with export.claimed() if export else nullcontext():
            with StopRequest(cancel, signals=signals) as stop:
                runner = Runner(stage, inputs, _run_options(stage, options), stop, progress)
                for text in _texts(runner, inputs, options):
                    if emit:
                        emit(text)
            summary = runner.summary()
            if export and options.output:
                output = options.output
                written = export.write(lambda: manifest.read_records(output))
                return replace(summary, written=written)
            return summary


def results(
    stage: Stage,
    sources: Sequence[Source],
    options: JobOptions | None = None,
    *,
    progress: Listener | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[Record]:
    """Yield the output records of a stage, in input order.

    Without an output each comes as soon as it and all before it are there, and closing the iterator
    stops the workers. With one it is written first, as by `run`, and then read. Raises as `run`.
    """
    options = _checked(stage, sources, options or JobOptions())
    if options.formats:
        raise UsageError("records are no text; call run for formats")
    if options.output is not None:
        run(stage, sources, options, progress=progress, cancel=cancel)
        yield from manifest.read_records(options.output)
        return
    with stage.inputs(_names(sources), limit=options.limit) as inputs, StopRequest(cancel) as stop:
        runner = Runner(stage, inputs, _run_options(stage, options), stop, progress)
        for lines in runner.stream():
            yield from map(json.loads, lines)


def _names(sources: Sequence[Source]) -> list[str]:
    return [os.fspath(source) for source in sources]


def _checked(stage: Stage, sources: Sequence[Source], options: JobOptions) -> JobOptions:
    """The options with the output that a folder implies. Raises `UsageError`."""
    if options.text_folder is None:
        _require_no_folder(options)
    output = options.output
    if output is not None:
        _require_manifest_name(output)
    elif options.text_folder is not None:
        output = str(options.text_folder / f"{stage.name}.jsonl")
    if output is None and (options.retry_failed or options.restart):
        raise UsageError("--retry-failed and --restart need an output file (-o)")
    if output and Path(output).resolve() in [Path(source).resolve() for source in sources]:
        raise UsageError(f"-o {output}: is an input too; name another output")
    return replace(options, output=output)


def _require_no_folder(options: JobOptions) -> None:
    if options.formats and options.output:
        raise UsageError("-o is the manifest; give --output-dir for the other formats")
    if len(options.formats) > 1:
        raise UsageError("only one format fits on stdout; give --output-dir")
    if options.one_file:
        raise UsageError("--one-file needs --output-dir")


def _require_manifest_name(output: str) -> None:
    if not output or not manifest.is_manifest(output) or output.endswith(".gz"):
        raise UsageError(f"-o {output}: the output manifest ends in .jsonl or .json")
    if len(os.fsencode(Path(output).name)) > MOST_BYTES:
        raise UsageError(f"-o {output}: a file's name has {MOST_BYTES} bytes at most")


def _run_options(stage: Stage, options: JobOptions) -> RunOptions:
    return RunOptions(
        output=options.output,
        pool=_pool_options(stage.placement, options),
        retry_failed=options.retry_failed,
        restart=options.restart,
    )


def _pool_options(placement: Placement, options: JobOptions) -> PoolOptions:
    cpus = granted_cpus()
    if placement.gpus and options.workers not in (0, len(placement.gpus)):
        raise UsageError("--workers: with --devices there is one a GPU")
    workers = options.workers or placement.workers or cpus
    threads = placement.threads or max(1, cpus // workers)
    return PoolOptions(workers, threads, options.time_limit, placement.loaders, placement.gpus)


def _export(inputs: Inputs, options: JobOptions) -> Export | None:
    if not (options.formats and options.text_folder and options.output):
        return None
    joined = manifest.manifest_stem(options.output) if options.one_file else None
    return Export(
        inputs,
        options.output,
        options.text_folder,
        options.formats,
        joined=joined,
        restart=options.restart,
    )


def _texts(runner: Runner, inputs: Inputs, options: JobOptions) -> Iterator[str]:
    """Does the work; yields what there is to emit."""
    if options.output is not None:
        runner.write(Path(options.output))
    elif options.formats:
        tree = tree_of(survey_of(inputs))
        records = [json.loads(line) for lines in runner.stream() for line in lines]
        yield options.formats[0].render(recordings(records, tree))
    else:
        for lines in runner.stream():
            yield "".join(f"{line}\n" for line in lines)
