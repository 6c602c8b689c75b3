#!/usr/bin/env python
"""`embed` beside a plain loop over transformers, with the same weights.

    scripts/bench/embed.py [--utterances 200] [--batches 1 4 16] [--models hubert whisper]

HuBERT of base's geometry with random weights, since their speed is what matters, and the encoder of
Whisper base. The list is of mixed-length speech (0.5 to 12 s), in no order. The loop is what people
write: read a batch, transformers' feature extractor with padding, the model in all threads, the
mean over the frames that are no padding; every batch size takes part, and the fastest counts. Every
competitor runs as a program of its own, in turns, start-up and model load included; the second
ratio is without the time of the same program for a single utterance.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import benchlib
import numpy as np
import soundfile
import torch
from benchlib import CPUS
from s2s import write_list
from transformers import AutoFeatureExtractor, AutoModel, HubertConfig, Wav2Vec2FeatureExtractor

LAYERS = {"hubert": 6, "whisper": 4}
FRAME = 320  # samples, of all these models


def make_hubert(folder: Path) -> Path:
    torch.manual_seed(1)
    AutoModel.from_config(HubertConfig()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


# ---------------------------------------------------------------- the peer


@torch.inference_mode()
def own(model_folder: str, layer: str, batch_size: str, manifest: str, output: str) -> None:
    torch.set_num_threads(CPUS)
    extractor: Any = AutoFeatureExtractor.from_pretrained(model_folder)
    model: Any = AutoModel.from_pretrained(model_folder).eval()
    is_whisper = model.config.model_type == "whisper"
    model = model.get_encoder() if is_whisper else model
    encoder = model if is_whisper else model.encoder
    encoder.layers = encoder.layers[: int(layer)]
    if is_whisper:
        encoder.layer_norm = torch.nn.Identity()
    paths = [line["audio_filepath"] for line in benchlib.read_manifest(Path(manifest))]
    rows = []
    for first in range(0, len(paths), int(batch_size)):
        waves = [soundfile.read(p, dtype="float32")[0] for p in paths[first:][: int(batch_size)]]
        given = {"sampling_rate": 16_000, "return_tensors": "pt"}
        if is_whisper:
            hidden = model(**extractor(waves, **given)).last_hidden_state
        else:
            hidden = model(**extractor(waves, padding=True, **given)).last_hidden_state
        for frames, wave in zip(hidden, waves, strict=True):
            count = len(wave) // FRAME if is_whisper else (len(wave) - 400) // FRAME + 1
            rows.append(frames[:count].mean(0).numpy())
    np.save(output, np.stack(rows))


# ---------------------------------------------------------------- measuring


def timed(
    name: str, model: Path, manifest: Path, batches: list[int], repeats: int
) -> dict[str, float]:
    out, layer = manifest.with_suffix(""), str(LAYERS[name])
    ours: list[object] = ["embed", manifest, "--model", model, "--layer", layer, "--restart"]
    commands = {"speechkit": [benchlib.speechkit(*ours, "--output-dir", out)]}
    for size in batches:
        files = (str(manifest), f"{out}-{size}.npy")
        run = [sys.executable, __file__, "--run", str(model), layer, str(size), *files]
        commands[f"loop, batch {size}"] = [run]
    return benchlib.wall_medians(commands, repeats)


def compare(name: str, model: Path, manifest: Path, batches: list[int], repeats: int) -> None:
    one = manifest.with_name(f"one-{manifest.name}")
    one.write_text(manifest.open().readline())
    lines = benchlib.read_manifest(manifest)
    print(f"\n{name}, layer {LAYERS[name]}: {len(lines)} utterances, ", end="")
    print(f"{sum(line['duration'] for line in lines):.0f} s", flush=True)
    whole, alone = (timed(name, model, path, batches, repeats) for path in (manifest, one))
    ours = whole["speechkit"]
    for peer, median in whole.items():
        without = (median - alone[peer]) / (ours - alone["speechkit"])
        print(
            f"{peer:16} {median:7.1f} s; speechkit is {median / ours:5.2f} x as fast, "
            f"{without:5.2f} x without start-up",
            flush=True,
        )
    found = np.load(manifest.with_suffix("") / "embeddings-00000.npy")
    theirs = np.load(f"{manifest.with_suffix('')}-1.npy") if 1 in batches else found
    lengths = np.linalg.norm(theirs, axis=1)
    print(f"largest difference: {(np.linalg.norm(found - theirs, axis=1) / lengths).max():.1e}")


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.DATA, peers=True)
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--models", nargs="+", choices=LAYERS, default=["hubert"])
    options = parser.parse_args()
    if options.run:
        own(*options.run)
        return
    benchlib.heading("torch", "transformers", note=f"medians of {options.repeats} runs")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = write_list(folder, options.data, options.utterances)
        models = {"hubert": make_hubert, "whisper": lambda _: benchlib.MODELS / "base-hf"}
        for name in options.models:
            model = models[name](folder / name)
            compare(name, model, manifest, options.batches, options.repeats)


if __name__ == "__main__":
    main()
