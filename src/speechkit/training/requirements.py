"""What the options of a training have to agree on, before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from speechkit.engines import model_catalogue, registry
from speechkit.engines.finetune.whisper import INFO
from speechkit.errors import UsageError
from speechkit.io.file_names import shown
from speechkit.training.options import COMPUTE_TYPES, EXPORTS, METRICS, FinetuneOptions

LONGEST_CONTEXT = 30.0  # seconds; Whisper's window
SHORTEST_CONTEXT = 0.2
EXPORT_ENGINE = "faster-whisper"
FRAME = 0.02  # seconds of a position of Whisper's encoder


def require_ready(options: FinetuneOptions) -> None:
    """Fetch the model. Raise what ends a training before it reads its data."""
    require_consistent(options)
    require_installed(options)
    model_catalogue.locate(registry.find("asr", "whisper"), options.model, offline=options.offline)


def require_installed(options: FinetuneOptions) -> None:
    """Raise `EngineMissing` where a package that the training or its export needs is missing."""
    registry.require_installed(INFO)
    if options.export:
        registry.require_installed(registry.find("asr", EXPORT_ENGINE))


def require_consistent(options: FinetuneOptions) -> None:
    """Raise `UsageError` with the first thing that is wrong."""
    for problem in _problems(options):
        raise UsageError(problem)


def _problems(options: FinetuneOptions) -> Iterator[str]:
    yield from _of_choices(options)
    yield from _of_training(options)
    yield from _of_evaluation(options)
    yield from _of_inputs(options)
    yield from _of_output(options)


def _of_choices(options: FinetuneOptions) -> Iterator[str]:
    for option, value, choices in (
        ("--metric", options.metric, METRICS),
        ("--export", options.export, (None, *EXPORTS)),
        ("--compute-type", options.compute_type, COMPUTE_TYPES),
    ):
        if value not in choices:
            yield f"{option} {value}: there are {', '.join(filter(None, choices))}"


def _of_training(options: FinetuneOptions) -> Iterator[str]:
    context, steps, warmup = options.context, options.steps, options.warmup
    if context is not None:
        if not SHORTEST_CONTEXT <= context <= LONGEST_CONTEXT:
            yield (
                f"--context {context:g}: from {SHORTEST_CONTEXT} to {LONGEST_CONTEXT:g} s, the "
                "window of Whisper's encoder"
            )
        if abs(context / FRAME - round(context / FRAME)) > 1e-6:
            yield f"--context {context:g}: a multiple of {FRAME} s, as {round(context, 1):g}"
    if steps is not None and warmup is not None and warmup >= steps:
        yield f"--warmup {warmup}: has to end before the last of --steps {steps}"
    if options.learning_rate is not None and not 0 < options.learning_rate < 1:
        yield f"--learning-rate {options.learning_rate:g}: above 0 and below 1, as 1e-5"
    if not options.clip > 0:
        yield f"--clip {options.clip:g}: above 0"
    if not 0 <= options.augmentation.speed < 1:
        yield (
            f"--speed {options.augmentation.speed:g}: the largest change, below 1: 0.1 is 0.9 to "
            "1.1 times"
        )


def _of_evaluation(options: FinetuneOptions) -> Iterator[str]:
    if not options.evaluation:
        for option, given in (
            ("--guard", options.guards),
            ("--evaluate-every", options.evaluate_every),
            ("--patience", options.patience),
            ("--export", options.export),
        ):
            if given:
                yield f"{option}: needs --eval, which tells the best checkpoint"
    if options.guard_budget is not None and not options.guards:
        yield "--guard-budget: needs --guard, whose WER it limits"


def _of_output(options: FinetuneOptions) -> Iterator[str]:
    """A training can't learn from what it removes when it begins anew, or writes over."""
    folder = options.output.resolve()
    inputs = (*options.train, *options.evaluation, *options.guards)
    for option, names in (("--model ", (options.model,)), ("", inputs)):
        for name in names:
            if Path(name).resolve().is_relative_to(folder):
                yield (
                    f"{option}{shown(name)}: lies in {shown(options.output)}, which the training "
                    "writes; name another --output-dir"
                )


def _of_inputs(options: FinetuneOptions) -> Iterator[str]:
    for option, inputs in (
        ("", options.train),
        ("--eval ", options.evaluation),
        ("--guard ", options.guards),
    ):
        for source in inputs:
            if source == "-":
                yield f"{option}-: a training reads its input several times; give a file"
            elif not Path(source).exists():
                yield f"{option}{shown(source)}: no such file or folder"
    noise = options.augmentation.noise
    if noise is not None and not noise.is_dir():
        yield f"--noise {shown(noise)}: no such folder"
    if options.output.exists() and not options.output.is_dir():
        yield f"--output-dir {shown(options.output)}: is no folder"
