"""A run of a stage over inputs, as one call: the Python API, which all stage commands use."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
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
from speechkit.runtime.metrics import Metrics, RunFacts
from speechkit.runtime.output_tree import survey_inputs
from speechkit.runtime.pool import Pool
from speechkit.runtime.pool_interface import BeginComputing
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.progress import Listener
from speechkit.runtime.recordings import recordings, tree_of
from speechkit.runtime.run_files import require_apart
from speechkit.runtime.runner import Runner, RunOptions
from speechkit.runtime.stage import Stage, WorkerPlan
from speechkit.runtime.stopping import StopRequest
from speechkit.runtime.summary import Summary
from speechkit.runtime.watch import Watch

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a stage runs and where its results go. No option changes a result.

    ``output``: manifest of results, which makes the run resumable; None to emit the results, or
    for the only output of a stage that has one.
    ``workers``: number of processes; 0 for the number that suits the stage and the granted CPUs.
    ``limit``: number of utterances to process, from the first on. ``retry_failed`` computes the
    failed utterances of ``output`` again, ``restart`` all. ``time_limit``: seconds of work allowed
    per second of audio, where audio shorter than 3 s counts as 3 s; 0 for no limit. ``formats``:
    text files in ``text_folder``, one per recording or, with ``one_file``, one for all recordings.
    Without a folder, a single format is emitted instead of the manifest. ``metrics``: file to which
    samples and traces are appended. ``prometheus``: text file that is kept up to date.
    ``summary``: file that the caller writes afterwards, and that no other one may be.
    """

    output: str | os.PathLike[str] | None = None
    workers: int = 0
    limit: int | None = None
    retry_failed: bool = False
    restart: bool = False
    time_limit: float = 20.0
    formats: Sequence[Format] = ()
    text_folder: str | os.PathLike[str] | None = None
    one_file: bool = False
    metrics: str | os.PathLike[str] | None = None
    prometheus: str | os.PathLike[str] | None = None
    summary: str | os.PathLike[str] | None = None


def run(
    stage: Stage,
    sources: Iterable[Source],
    options: JobOptions | None = None,
    *,
    emit: Callable[[str], object] | None = None,
    progress: Listener | None = None,
    cancel: threading.Event | None = None,
    signals: bool = False,
    begin: BeginComputing = Pool,
) -> Summary:
    """Run a stage over every utterance of ``sources`` and return the summary.

    ``sources``: audio files, folders, manifests, or ``-`` for a manifest on stdin. ``emit``
    receives the results as text if there is no output: JSON lines as they come, in input order, or
    the text of the single format at the end. ``progress`` is called in this thread, at the
    start and after each utterance. Setting ``cancel`` from any thread stops the computation within
    seconds, with `Drained`; the same call resumes it if it has an output. ``signals``: SIGTERM,
    SIGUSR1 and SIGINT do the same. Use it only in the main thread of a program that ends after the
    run. ``begin``: of the computing, in worker processes of its own unless it says otherwise.

    Raises the fatal errors of the error tree (`SpeechkitError`). The error of an utterance is in
    its record.
    """
    names = _names(sources)
    options = options or JobOptions()
    output = _output(stage, names, options)
    with stage.inputs(names, limit=options.limit) as inputs:
        export = _export(inputs, options, output)
        with (
            export.claimed() if export else nullcontext(),
            _recorded(stage, options, output) as metrics,
        ):
            with StopRequest(cancel, signals=signals) as stop:
                runner = _runner(stage, inputs, options, output, stop, progress, metrics, begin)
                for text in _texts(runner, inputs, options, output):
                    if emit:
                        emit(text)
            summary = runner.summary()
            if export and output:
                written = export.write(lambda: manifest.read_records(output))
                summary = replace(summary, written=written)
            if metrics:
                metrics.conclude(summary)
            return summary


def results(
    stage: Stage,
    sources: Iterable[Source],
    options: JobOptions | None = None,
    *,
    progress: Listener | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[Record]:
    """Yield the output records of a stage, in input order.

    Without an output, each record comes as soon as it and all before it are computed, and closing
    the iterator stops the workers. With an output, `run` writes it first, and the records are read
    from it. Raises as `run`.
    """
    names = _names(sources)
    options = options or JobOptions()
    output = _output(stage, names, options)
    if options.formats:
        raise UsageError("results yields records; call run for text formats")
    if output is not None:
        run(stage, names, options, progress=progress, cancel=cancel)
        yield from manifest.read_records(output)
        return
    with (
        stage.inputs(names, limit=options.limit) as inputs,
        _recorded(stage, options, output) as metrics,
        StopRequest(cancel) as stop,
    ):
        runner = _runner(stage, inputs, options, output, stop, progress, metrics)
        for lines in runner.stream():
            yield from map(json.loads, lines)
        if metrics:
            metrics.conclude(runner.summary())


def _recorded(
    stage: Stage, options: JobOptions, output: str | None
) -> AbstractContextManager[Metrics | None]:
    """The metrics of the run, None unless they are asked for."""
    if not (options.metrics or options.prometheus):
        return nullcontext()
    metrics, text = (Path(name) if name else None for name in (options.metrics, options.prometheus))
    return Metrics(metrics, text, RunFacts(stage.name, output, stage.options))


def _runner(
    stage: Stage,
    inputs: Inputs,
    options: JobOptions,
    output: str | None,
    stop: StopRequest,
    progress: Listener | None,
    metrics: Metrics | None,
    begin: BeginComputing = Pool,
) -> Runner:
    listener = metrics.listener(progress) if metrics else progress
    how = _run_options(stage, options, output)
    runner = Runner(stage, inputs, how, stop, listener, Watch(metrics), begin)
    if metrics:
        metrics.begin(runner.scan.count, runner.scan.seconds, how.pool.workers)
    return runner


def _names(sources: Iterable[Source]) -> list[str]:
    if isinstance(sources, str | os.PathLike):
        raise UsageError(f"{os.fspath(sources)}: sources are a list, of one too")
    names = [os.fspath(source) for source in sources]
    if not names:
        raise UsageError("there are no sources")
    return names


def _output(stage: Stage, sources: Sequence[str], options: JobOptions) -> str | None:
    """The output manifest, in the folder of text files if none is named. Raises `UsageError`."""
    if options.text_folder is None:
        _require_no_folder(options)
    output = _named_output(stage, options)
    if output is None and (options.retry_failed or options.restart):
        raise UsageError("--retry-failed and --restart need an output file (-o)")
    files = [("--metrics", options.metrics), ("--prometheus", options.prometheus)]
    require_apart(sources, output, [*files, ("--summary", options.summary)])
    return output


def _named_output(stage: Stage, options: JobOptions) -> str | None:
    output = None if options.output is None else os.fspath(options.output)
    if stage.output is not None:
        if output is not None:
            raise UsageError(f"-o {output}: {stage.name} writes to {stage.output}; leave it out")
        return str(stage.output)
    if output is not None:
        require_manifest_name(output)
    elif options.text_folder is not None:
        return str(Path(options.text_folder, f"{stage.name}.jsonl"))
    return output


def _require_no_folder(options: JobOptions) -> None:
    if options.formats and options.output:
        raise UsageError("-o is the manifest; give --output-dir for the other formats")
    if len(options.formats) > 1:
        raise UsageError("only one format fits on stdout; give --output-dir")
    if options.one_file:
        raise UsageError("--one-file needs --output-dir")


def require_manifest_name(output: str) -> None:
    if not output or not manifest.is_manifest(output) or output.endswith(".gz"):
        raise UsageError(f"-o {output}: the output manifest ends in .jsonl or .json")
    if len(os.fsencode(Path(output).name)) > MOST_BYTES:
        raise UsageError(f"-o {output}: a file's name has {MOST_BYTES} bytes at most")


def _run_options(stage: Stage, options: JobOptions, output: str | None) -> RunOptions:
    return RunOptions(
        output=output,
        pool=_pool_options(stage.worker_plan, options),
        retry_failed=options.retry_failed,
        restart=options.restart,
    )


def _pool_options(worker_plan: WorkerPlan, options: JobOptions) -> PoolOptions:
    cpus = granted_cpus()
    if worker_plan.gpus and options.workers not in (0, len(worker_plan.gpus)):
        raise UsageError("--workers: --devices starts one per GPU; leave it out")
    workers = options.workers or worker_plan.workers or cpus
    threads = worker_plan.threads or max(1, cpus // workers)
    return PoolOptions(
        workers=workers,
        threads=threads,
        time_limit=options.time_limit,
        loaders=worker_plan.loaders,
        gpus=worker_plan.gpus,
    )


def _export(inputs: Inputs, options: JobOptions, output: str | None) -> Export | None:
    if not (options.formats and options.text_folder and output):
        return None
    joined = manifest.manifest_stem(output) if options.one_file else None
    return Export(
        inputs,
        output,
        Path(options.text_folder),
        options.formats,
        joined=joined,
        restart=options.restart,
    )


def _texts(
    runner: Runner, inputs: Inputs, options: JobOptions, output: str | None
) -> Iterator[str]:
    """Run the stage and yield the text to emit."""
    if output is not None:
        runner.write(Path(output))
    elif options.formats:
        tree = tree_of(survey_inputs(inputs))
        records = [json.loads(line) for lines in runner.stream() for line in lines]
        yield options.formats[0].render(recordings(records, tree))
    else:
        for lines in runner.stream():
            yield "".join(f"{line}\n" for line in lines)
