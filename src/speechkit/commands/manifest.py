from __future__ import annotations

from speechkit.commands.options import InputsArgument, RunFlags, TrackOption, takes


@takes(run=RunFlags)
def manifest(inputs: InputsArgument, track: TrackOption = None, *, run: RunFlags) -> int:
    """List audio with duration, sample rate, channels and reference text.

    References come from a .txt or .lab file beside the audio, or from a LibriSpeech .trans.txt.

    Example: speechkit manifest talks/ -o data.jsonl
    """
    from speechkit.commands.run_stage import run_stage
    from speechkit.stages.manifest.stage import manifest_stage

    return run_stage(manifest_stage(track), inputs, run)
