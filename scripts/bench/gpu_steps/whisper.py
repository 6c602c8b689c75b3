"""Whisper beside transformers' pipeline and faster-whisper, each at its best, on the same audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import recordings

from gpu_steps import ours, peers, scripted, watch
from gpu_steps.common import (
    Setting,
    Utterance,
    cycled,
    full_windows,
    sentences,
    write_manifest,
)

SIZES = (8, 16, 32, 64, 128, 256)  # windows at once, beside the engine's own choice
SWEPT = 512  # windows for each size
WINDOWS = {"turbo": 2048, "large-v3": 2048, "tiny": 6}
UTTERANCES = 2048


def pipeline(setting: Setting, name: str, folder: Path, count: int | None) -> None:
    """Windows of 30 s with 96 tokens: the engine, without the time of its start."""
    windows = cycled(full_windows(setting), count or WINDOWS[name])
    step = f"pipeline {name}"
    with setting.trying(step, "speechkit"):
        engine = ours.engine(setting, folder)
        with watch.Busy(setting.work / "engine.busy") as busy:
            passes = ours.passes(engine, windows, setting.repeats)
        best = ours.median_pass(passes)
        setting.row(step, "speechkit", best.pace, "ms/window", best.note)
        setting.row(step, "speechkit, GPU busy", ours.busy(busy, passes), "%")
        _said(setting, step, "speechkit", best.texts)
        del engine
    peers.free(setting)
    for peer in peers.PEERS:
        found = peers.best(setting, step, peer, folder, windows)
        if found:
            _said(setting, step, peer.name, found.texts)


def sweep(setting: Setting, name: str, folder: Path, count: int | None) -> None:
    """Batch sizes beside the one that the engine chooses."""
    windows = cycled(full_windows(setting), count or (4 if setting.tiny else SWEPT))
    step = f"sweep {name}"
    paces: dict[int, float] = {}
    for size in (0, 1, 2) if setting.tiny else (0, *SIZES):
        what = f"batch {size or 'auto'}"
        with setting.trying(step, what):
            engine = ours.engine(setting, folder, size)
            best = ours.median_pass(ours.passes(engine, windows, setting.repeats))
            paces[size] = best.pace
            setting.row(step, what, best.pace, "ms/window", best.note)
            del engine
        peers.free(setting)
    excess = 100 * (paces.pop(0) / min(paces.values()) - 1)
    setting.row(step, "auto takes longer than the best by", excess, "%")


def real(setting: Setting, folder: Path, count: int | None) -> None:
    """Whisper base on real speech of mixed lengths, by the command line."""
    utterances = cycled(sentences(setting), count or (8 if setting.tiny else UTTERANCES))
    with setting.trying("real base", "speechkit"):
        texts = _command(setting, "real base", folder, utterances)
        _wer(setting, "speechkit", utterances, texts)
    for peer in peers.PEERS:
        found = peers.best(setting, "real base", peer, folder, utterances)
        if found:
            _wer(setting, f"{peer.name}, batch {found.size}", utterances, found.texts)


def _said(setting: Setting, step: str, what: str, texts: Sequence[str]) -> None:
    expected = " ".join(scripted.TEXT.split()[:20])
    spoken = sum(text.strip().lower().startswith(expected) for text in texts)
    setting.row(step, f"{what}, windows with the text", spoken, f"of {len(texts)}")


def _command(
    setting: Setting, step: str, folder: Path, utterances: Sequence[Utterance]
) -> list[str]:
    manifest = write_manifest(setting.work / f"{step.replace(' ', '-')}.jsonl", utterances)
    command = ["asr", manifest, "--engine", "whisper", "--model", folder, "--language", "en"]
    command += ["--device", setting.device]
    run = watch.repeated(command, manifest.with_suffix(".out.jsonl"), setting.repeats)
    note = f"{run.batch}, {len(utterances)} utterances in {run.seconds:.1f} s"
    setting.row(step, "speechkit", run.pace, "ms/utterance", note)
    setting.row(step, "speechkit, first result after", run.first, "s")
    setting.row(step, "speechkit, GPU busy", run.busy, "%", run.waited_for)
    return [record["pred_text"] for record in run.records]


def _wer(
    setting: Setting, what: str, utterances: Sequence[Utterance], texts: Sequence[str]
) -> None:
    truth = [one.text for one in utterances[: len(texts)]]
    found = recordings.errors(truth, texts)
    setting.row("real base", f"{what}, WER", 100 * found.rate, "%", f"{len(texts)} utterances")
