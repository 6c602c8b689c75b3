#!/usr/bin/env python
"""What the vectors of `embed` know: speakers of LibriSpeech, digits of other speakers.

    scripts/bench/embed_accuracy.py [--each 12] [--layers 4 5] [--pools mean max]

Speakers: the equal error rate of all pairs, and the adjusted Rand index of clusters. Digits: a
linear probe of Whisper base's encoder on ``--each`` recordings of each digit by each speaker, no
speaker in training and in test at once; of the encoder's output, or of ``--layers``. Whisper
takes a second or two of CPU for each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import benchlib
import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

import speechkit


def speakers(data: Path, folder: Path) -> None:
    manifest = data / "librispeech" / "manifest.jsonl"
    run("embed", manifest, "--engine", "speaker", "--output-dir", folder)
    found = speechkit.load_embeddings(folder)
    names = np.array([record["speaker"] for record in found.records])
    one, other = np.triu_indices(len(found), 1)
    same = names[one] == names[other]
    order = np.argsort(-(found.array @ found.array.T)[one, other])
    accepted = np.cumsum(~same[order]) / (~same).sum()
    rejected = 1 - np.cumsum(same[order]) / same.sum()
    place = np.abs(accepted - rejected).argmin()
    clusters = AgglomerativeClustering(len({*names}), metric="cosine", linkage="average")
    index = adjusted_rand_score(names, clusters.fit_predict(found.array))
    error = (accepted[place] + rejected[place]) / 2
    print(f"{len(found)} utterances of {len({*names})} speakers: ", end="")
    print(f"equal error rate {error:.2%}, adjusted Rand index {index:.3f}", flush=True)


def digits(data: Path, folder: Path, layer: int | None, pool: str, each: int) -> None:
    lines = []
    seen: dict[tuple[str, str], int] = {}
    for line in benchlib.read_manifest(data / "digits" / "manifest.jsonl"):
        key = (line["text"], line["speaker"])
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= each:
            path = str((data / "digits" / line["audio_filepath"]).resolve())
            lines.append({**line, "audio_filepath": path})
    manifest = benchlib.write_manifest(folder / "digits.jsonl", lines)
    out = folder / f"{layer}-{pool}"
    model = benchlib.MODELS / "base-hf"
    options = ("--model", model, "--pool", pool, "--output-dir", out)
    run("embed", manifest, *options, *(("--layer", layer) if layer else ()))
    found = json.loads(run("embed", "probe", out, "--label", "text", "--json"))
    print(f"Whisper base, layer {layer or 'output'}, {pool}: {found['accuracy']:.2%} ", end="")
    print(f"of {found['utterances']} digits (baseline {found['baseline']:.0%})", flush=True)


def run(*arguments: object) -> str:
    command = [sys.executable, "-m", "speechkit", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = benchlib.parser(__doc__, data=benchlib.DATA)
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--layers", type=int, nargs="+", default=[None])
    parser.add_argument("--pools", nargs="+", default=["mean"])
    options = parser.parse_args()
    benchlib.heading("torch", "transformers", "onnxruntime")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        speakers(options.data, folder / "speakers")
        for layer in options.layers:
            for pool in options.pools:
                digits(options.data, folder, layer, pool, options.each)


if __name__ == "__main__":
    main()
