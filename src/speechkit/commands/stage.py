"""What every stage command does: run, write, account for it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from speechkit.commands.console import say
from speechkit.commands.options import FormatFlags, RunFlags, one_of
from speechkit.errors import UsageError
from speechkit.formats import Format
from speechkit.io import atomic, manifest
from speechkit.io.file_names import MOST_BYTES
from speechkit.io.inputs import Inputs
from speechkit.io.machine import granted_cpus
from speechkit.records import Record
from speechkit.runtime import runner
from speechkit.runtime.pool import PoolOptions
from speechkit.runtime.stage import Placement, Stage

if TYPE_CHECKING:
    from speechkit.runtime.export import Written


def run(stage: Stage, sources: Sequence[str], flags: RunFlags) -> None:
    """Runs a stage that writes a manifest, and exits with its code."""
    with _inputs(stage, sources, flags, _output(flags.output)) as (inputs, options):
        _close(runner.run(stage, inputs, options, _print_lines), flags)


def run_with_formats(
    stage: Stage,
    sources: Sequence[str],
    flags: RunFlags,
    wanted: FormatFlags,
    available: Mapping[str, Format],
) -> None:
    """Runs a stage whose results can also be rendered as text, and exits with its code."""
    names = [one_of(name, ["jsonl", *available], "--format") for name in wanted.format or []]
    formats = [available[name] for name in dict.fromkeys(names) if name != "jsonl"]
    folder = wanted.output_dir
    output = _output(flags.output)
    if folder is None:
        if formats and flags.output:
            raise UsageError("-o is the manifest; give --output-dir for the other formats")
        if len(formats) > 1:
            raise UsageError("only one format fits on stdout; give --output-dir")
        if wanted.one_file:
            raise UsageError("--one-file needs --output-dir")
    else:
        output = output or str(folder / f"{stage.name}.jsonl")
    with _inputs(stage, sources, flags, output) as (inputs, options):
        if not formats:
            summary, written = runner.run(stage, inputs, options, _print_lines), None
        elif folder and output:
            summary, written = _run_to_files(stage, inputs, options, formats, folder, wanted)
        else:
            _render_to_stdout(stage, inputs, options, formats[0], flags)
    _close(summary, flags, written)


def _run_to_files(
    stage: Stage,
    inputs: Inputs,
    options: runner.RunOptions,
    formats: Sequence[Format],
    folder: Path,
    wanted: FormatFlags,
) -> tuple[runner.Summary, Written]:
    from speechkit.runtime.export import Export

    assert options.output
    output = options.output
    joined = manifest.manifest_stem(output) if wanted.one_file else None
    export = Export(inputs, output, folder, formats, joined=joined, restart=options.restart)
    with export.claimed():
        summary = runner.run(stage, inputs, options, _print_lines)
        return summary, export.write(lambda: manifest.read_records(output))


def _render_to_stdout(
    stage: Stage, inputs: Inputs, options: runner.RunOptions, form: Format, flags: RunFlags
) -> NoReturn:
    from speechkit.runtime.export import recordings, tree_of
    from speechkit.runtime.output_tree import survey_of

    tree = tree_of(survey_of(inputs))
    records: list[Record] = []

    def collect(lines: Sequence[str]) -> None:
        records.extend(json.loads(line) for line in lines)

    summary = runner.run(stage, inputs, options, collect)
    print_text(form.render(recordings(records, tree)))
    _close(summary, flags)


@contextmanager
def _inputs(
    stage: Stage, sources: Sequence[str], flags: RunFlags, output: str | None
) -> Iterator[tuple[Inputs, runner.RunOptions]]:
    if output is None and (flags.retry_failed or flags.restart):
        raise UsageError("--retry-failed and --restart need an output file (-o)")
    if output and Path(output).resolve() in [Path(source).resolve() for source in sources]:
        raise UsageError(f"-o {output}: is an input too; name another output")
    if flags.summary:
        atomic.refuse_special(flags.summary)
    options = runner.RunOptions(
        output=output,
        pool=_pool_options(stage.placement, flags),
        retry_failed=flags.retry_failed,
        restart=flags.restart,
    )
    with stage.inputs(sources, limit=flags.limit) as inputs:
        yield inputs, options


def _pool_options(placement: Placement, flags: RunFlags) -> PoolOptions:
    cpus = granted_cpus()
    if placement.gpus and flags.workers not in (0, len(placement.gpus)):
        raise UsageError("--workers: with --devices there is one a GPU")
    workers = flags.workers or placement.workers or cpus
    threads = placement.threads or max(1, cpus // workers)
    return PoolOptions(workers, threads, flags.time_limit, placement.loaders, placement.gpus)


def _output(name: str | None) -> str | None:
    if name in (None, "-"):
        return None
    if not name or not manifest.is_manifest(name) or name.endswith(".gz"):
        raise UsageError(f"-o {name}: the output manifest ends in .jsonl or .json")
    if len(os.fsencode(Path(name).name)) > MOST_BYTES:
        raise UsageError(f"-o {name}: a file's name has {MOST_BYTES} bytes at most")
    return name


def _print_lines(lines: Sequence[str]) -> None:
    print_text("".join(f"{line}\n" for line in lines))


def print_text(text: str) -> None:
    """Data is UTF-8, whatever the locale says."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def _close(summary: runner.Summary, flags: RunFlags, written: Written | None = None) -> NoReturn:
    say(describe(summary))
    if written:
        say(written.text())
    code = 3 if written and written.failures else summary.exit_code
    if flags.summary:
        text = json.dumps({**asdict(summary), "exit_code": code}, indent=2)
        atomic.write_text(flags.summary, text + "\n")
    raise typer.Exit(code)


def describe(summary: runner.Summary) -> str:
    """The account of a run in a few lines for people."""
    where = f" -> {Path(summary.output)}" if summary.output else ""
    lines = [f"{summary.stage}: {summary.utterances} utterances, {summary.failed} failed{where}"]
    if summary.done:
        speed = summary.audio_seconds / summary.wall_seconds if summary.wall_seconds else 0.0
        lines.append(
            f"  {summary.audio_seconds:.1f} s of audio in {summary.wall_seconds:.1f} s "
            f"({speed:.0f}x real time), {summary.peak_memory / 2**20:.0f} MB in the largest process"
        )
        if summary.device:
            lines.append(
                "  {name} ({compute_type}, {batch_size} windows at once) was at work "
                "{share:.0%} of the time".format(**summary.device)
            )
            for name in summary.device.get("reinitialised", ()):
                lines.append(f"  RANDOM numbers in the place of the weight {name}")
        if summary.resumed:
            lines.append(f"  {summary.resumed} of them were done by an earlier run")
    elif summary.utterances:
        lines.append("  complete already, nothing computed (--restart computes it anew)")
    lines += [f"  {count} x {kind}" for kind, count in summary.errors.items()]
    if summary.flags:
        doubts = ", ".join(f"{count} {flag}" for flag, count in summary.flags.items())
        lines.append(f"  flagged utterances: {doubts}")
    if summary.errors and summary.output:
        lines.append("  the reasons are in the output; --retry-failed runs only these again")
    return "\n".join(lines)
