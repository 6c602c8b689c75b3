from __future__ import annotations

from typing import Annotated

from speechkit.commands.options import FormatFlags, InputsArgument, Option, RunFlags, takes

NEED_WORDS = {"ctm", "textgrid"}


@takes(formats=FormatFlags, run=RunFlags)
def asr(
    inputs: InputsArgument,
    engine: Annotated[
        str, Option(help="pocketsphinx (US English, its model is built in).")
    ] = "pocketsphinx",
    model: Annotated[
        str | None, Option(help="A model's folder; default: the engine's own.")
    ] = None,
    words: Annotated[
        bool, Option("--words", help="Add word times and confidences to the segments.")
    ] = False,
    channel: Annotated[
        int | None, Option(min=1, help="Take this channel instead of mixing all down.")
    ] = None,
    *,
    formats: FormatFlags,
    run: RunFlags,
) -> None:
    """Transcribe speech.

    Uses the segments that vad has found where the input has them; else it transcribes all of a
    recording and cuts long ones itself.

    Example: speechkit vad talks/ | speechkit asr - -o asr.jsonl
    """
    from speechkit.commands import stage
    from speechkit.formats import ASR_FORMATS
    from speechkit.pipelines.asr import AsrOptions, asr_stage

    words = words or not NEED_WORDS.isdisjoint(formats.format or ())
    options = AsrOptions(engine, model, words, channel)
    stage.run_with_formats(asr_stage(options), inputs, run, formats, ASR_FORMATS)
