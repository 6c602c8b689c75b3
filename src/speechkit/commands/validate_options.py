"""The options of validate about texts and about the data set as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speechkit.commands.options import OutputOption, RunFlags, in_section
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from speechkit.stages.validate.baseline import Baseline
    from speechkit.stages.validate.split_output import SplitOutput
    from speechkit.stages.validate.stage import ValidateOptions

TextOption = in_section("Texts")
BaselineOption = in_section("Comparison with an earlier delivery")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFlags:
    """What is examined of texts."""

    asr: Annotated[
        bool,
        TextOption(
            "--asr",
            help="Transcribe first, with the default engine and model of asr, to find texts that "
            "don't belong to their audio. The transcripts go to OUTPUT.asr.jsonl.",
        ),
    ] = False
    require_text: Annotated[
        bool, TextOption("--require-text", help="A line without text has the issue no_text.")
    ] = False
    tokenizer: Annotated[
        str | None,
        TextOption(
            metavar="FILE|FOLDER",
            help="Count tokens with this tokenizer.json, or that of a model's folder.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSetFlags:
    """What is done with the data set as a whole."""

    split_output: Annotated[
        Path | None,
        OutputOption(
            metavar="DIR",
            help="Write valid lines to kept.jsonl in this folder, the others to rejected.jsonl.",
        ),
    ] = None
    report: Annotated[
        Path | None,
        OutputOption(
            metavar="FILE",
            help="Write a page for a browser: distributions, and the worst cases to hear and see.",
        ),
    ] = None
    baseline: Annotated[
        str | None,
        BaselineOption(
            metavar="FILE",
            help="Compare with the summary of an earlier validation. Exits with 3 if something "
            "got worse or an utterance failed, with 0 otherwise.",
        ),
    ] = None
    baseline_tolerance: Annotated[
        float,
        BaselineOption(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Share of all utterances by which an issue or a warning may become more frequent.",
        ),
    ] = 0.01

    def earlier(self) -> Baseline | None:
        """The summary to compare with. Raises `UsageError`."""
        from speechkit.stages.validate.baseline import read_baseline

        return read_baseline(self.baseline) if self.baseline else None

    def split(self, run: RunFlags, sources: Sequence[str]) -> SplitOutput | None:
        """The two manifests of the output. Raises `UsageError`."""
        from speechkit.stages.validate.split_output import SplitOutput

        if not self.split_output:
            return None
        output = require_output(run, "--split-output")
        return SplitOutput(self.split_output, output, sources, restart=run.restart)

    def check_report(self, run: RunFlags, sources: Sequence[str]) -> None:
        """Raises `UsageError` and `OutputFailed` for a report that can't be written."""
        from speechkit.io.atomic import refuse_special
        from speechkit.runtime.run_files import require_apart

        if not self.report:
            return
        others = [("--metrics", run.metrics), ("--prometheus", run.prometheus)]
        others += [("--summary", run.summary), ("--report", self.report)]
        require_apart(sources, require_output(run, "--report"), others)
        refuse_special(self.report)

    def write_report(self, run: RunFlags, options: ValidateOptions) -> None:
        from speechkit.reports.validate_page import write_validate_page

        if self.report:
            write_validate_page(self.report, require_output(run, "--report"), options)


def require_output(run: RunFlags, option: str) -> str:
    """The name of the output manifest. Raises `UsageError` where there is none."""
    if run.output in (None, "-"):
        raise UsageError(f"{option} needs an output file (-o)")
    assert run.output
    return run.output
