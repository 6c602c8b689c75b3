#!/usr/bin/env python
"""`s2s` beside textlesslib's and fairseq's own loops, with the same weights.

    scripts/bench/s2s.py [--utterances 200] [--repeats 3] [--memory]

HuBERT of base's geometry, layer 6, and a unit HiFi-GAN of its usual size, with random weights,
since their speed is what matters. Two lists of mixed-length speech (0.5 to 12 s): to units, and
units to speech. Every competitor runs as a program of its own, in turns, start-up and model load
included; the second ratio is without the time of the same program for a single utterance. All use
the CPUs granted: speechkit in a process for each, the others in threads. textlesslib takes part
where it is installed. --memory: instead, the resident memory of one worker around utterance 50 and
around utterance 500; the target is that it grows by less than 5 %.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import benchlib
import joblib
import numpy as np
import soundfile
import torch
from benchlib import CPUS
from sklearn.cluster import KMeans

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speechkit.compat import patched_imports
from speechkit.engines.s2s import kmeans
from tiny_models import digits, s2s

LAYER, UNITS, WIDTH = 6, 100, 768
EARLY, LATE, AROUND = 50, 500, 25  # utterances
BASE = {
    **s2s.MODEL,
    "encoder_layers": 12,
    "encoder_embed_dim": WIDTH,
    "encoder_ffn_embed_dim": 3072.0,
    "encoder_attention_heads": 12,
    "final_dim": 256,
    "conv_feature_layers": "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2",
}
VOCODER = {
    **s2s.VOCODER,
    "num_embeddings": UNITS,
    "embedding_dim": 128,
    "model_in_dim": 128,
    "upsample_initial_channel": 512,
}


def make_models(folder: Path) -> None:
    torch.manual_seed(1)
    weights = s2s.weights_of(s2s.TASK, BASE)
    state = {"model": weights, "args": None, "cfg": {"task": s2s.TASK, "model": BASE}}
    torch.save(state, folder / "hubert.pt")
    s2s.save_vocoder(folder / "vocoder", VOCODER)
    random = np.random.default_rng(1).normal(0, 1, (4 * UNITS, WIDTH)).astype(np.float32)
    fitted = KMeans(UNITS, n_init=1, random_state=1).fit(random)
    joblib.dump(fitted, folder / "km.bin")
    kmeans.write(folder / "km.npz", fitted.cluster_centers_)


def write_list(folder: Path, data: Path, count: int) -> Path:
    """Digits, one after another, to lengths from 0.5 to 12 s."""
    random = np.random.default_rng(1)
    words = [word.samples for word in digits.load(data) if word.held_out]
    lines = []
    for index in range(count):
        samples = int(np.exp(random.uniform(np.log(0.5), np.log(12))) * digits.RATE)
        parts: list[np.ndarray] = []
        while sum(map(len, parts)) < samples:
            parts.append(words[random.integers(len(words))])
        path = folder / f"{index:04}.wav"
        soundfile.write(path, np.concatenate(parts)[:samples], digits.RATE)
        lines.append({"audio_filepath": str(path), "duration": samples / digits.RATE})
    return benchlib.write_manifest(folder / "list.jsonl", lines)


# ---------------------------------------------------------------- the peers


def own(name: str, models: str, manifest: str, output: str) -> None:
    """What people run today: one utterance after another, in all threads."""
    torch.set_num_threads(CPUS)
    lines = benchlib.read_manifest(Path(manifest))
    folder = Path(models)
    if "units" in lines[0]:
        _speak(name, folder, lines, Path(output))
        return
    encode = _textless(folder) if name == "textlesslib" else _fairseq(folder)
    with open(output, "w") as out:
        for line in lines:
            samples, _ = soundfile.read(line["audio_filepath"], dtype="float32")
            out.write(json.dumps({**line, **encode(torch.from_numpy(samples))}) + "\n")


def _textless(folder: Path) -> Any:
    package = patched_imports.textless()
    speech_encoder = sys.modules["textless.data.speech_encoder"]
    encoder = speech_encoder.SpeechEncoder(
        package.HubertFeatureReader(str(folder / "hubert.pt"), layer=LAYER),
        package.KMeansQuantizer(str(folder / "km.bin")),
        deduplicate=True,
        need_f0=False,
    )

    def encode(samples: torch.Tensor) -> dict[str, Any]:
        found = encoder(samples)
        return {"units": found["units"].tolist(), "unit_durations": found["durations"].tolist()}

    return encode


def _fairseq(folder: Path) -> Any:
    utils = patched_imports.fairseq().checkpoint_utils
    (model,), _, _ = utils.load_model_ensemble_and_task([str(folder / "hubert.pt")])
    model.eval()
    clusters = joblib.load(folder / "km.bin")

    @torch.inference_mode()
    def encode(samples: torch.Tensor) -> dict[str, Any]:
        features, _ = model.extract_features(samples[None], mask=False, output_layer=LAYER)
        found = torch.from_numpy(clusters.predict(features[0].numpy()))
        units, durations = torch.unique_consecutive(found, return_counts=True)
        return {"units": units.tolist(), "unit_durations": durations.tolist()}

    return encode


def _speak(name: str, folder: Path, lines: list[dict[str, Any]], output: Path) -> None:
    model, config = folder / "vocoder" / "g.pt", folder / "vocoder" / "config.json"
    if name == "textlesslib":
        vocoder = patched_imports.textless().CodeHiFiGANVocoder(str(model), str(config))
        speak = vocoder
    else:
        vocoders = patched_imports.fairseq().models.text_to_speech.vocoder
        vocoder = vocoders.CodeHiFiGANVocoder(str(model), json.loads(config.read_text()))
        speak = lambda code: vocoder({"code": code})  # noqa: E731
    output.mkdir(exist_ok=True)
    for index, line in enumerate(lines):
        code = torch.tensor(np.repeat(line["units"], line["unit_durations"]))[None]
        with torch.inference_mode():
            samples = speak(code)
        soundfile.write(output / f"{index:04}.wav", samples.numpy(), 16_000)


# ---------------------------------------------------------------- measuring


def timed(names: list[str], folder: Path, manifest: Path, repeats: int) -> dict[str, float]:
    speech = "units" in json.loads(manifest.open().readline())
    ours: list[object] = ["s2s", manifest, "--restart"]
    if speech:
        ours += ["--from-units", "--vocoder", folder / "vocoder" / "g.pt", "--durations", "keep"]
        ours += ["--output-dir", folder / "speech"]
    else:
        ours += ["--units-only", "--model", folder / "hubert.pt", "--layer", LAYER]
        ours += ["--quantizer", folder / "km.npz", "-o", manifest.with_suffix(".out.jsonl")]
    commands = {"speechkit": [benchlib.speechkit(*ours)]}
    for name in names:
        out = manifest.with_suffix(f".{name}" + ("" if speech else ".jsonl"))
        run = [sys.executable, __file__, "--run", name, str(folder), str(manifest), str(out)]
        commands[name] = [run]
    return benchlib.wall_medians(commands, repeats)


def compare(what: str, names: list[str], folder: Path, manifest: Path, repeats: int) -> None:
    one = manifest.with_name(f"one-{manifest.name}")
    one.write_text(manifest.open().readline())
    lines = benchlib.read_manifest(manifest)
    print(
        f"\n{what}: {len(lines)} utterances, {sum(x['duration'] for x in lines):.0f} s", flush=True
    )
    whole, alone = (timed(names, folder, path, repeats) for path in (manifest, one))
    for name, median in whole.items():
        without = (whole[name] - alone[name]) / (whole["speechkit"] - alone["speechkit"])
        print(
            f"{name:12} {median:7.1f} s; speechkit is {median / whole['speechkit']:5.2f} x as "
            f"fast, {without:5.2f} x without start-up",
            flush=True,
        )


def memory(folder: Path, manifest: Path) -> None:
    many = benchlib.write_cycled(folder / "many.jsonl", manifest, LATE + 2 * AROUND)
    out = folder / "many.out.jsonl"
    command = ("s2s", many, "--units-only", "--model", folder / "hubert.pt", "--layer", LAYER)
    command += ("--quantizer", folder / "km.npz", "-o", out, "--workers", 1)
    print(benchlib.growth(benchlib.speechkit(*command), out, EARLY, LATE, AROUND).text(EARLY, LATE))


def main() -> None:
    parser = benchlib.parser(__doc__, repeats=3, data=benchlib.DATA, peers=True)
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.run:
        own(*options.run)
        return
    names = ["fairseq", *(["textlesslib"] if find_spec("textless") else [])]
    note = f"medians of {options.repeats} runs"
    benchlib.heading("torch", "fairseq", "textlesslib", note=note)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_models(folder)
        manifest = write_list(folder, options.data, options.utterances)
        if options.memory:
            memory(folder, manifest)
            return
        compare("to units", names, folder, manifest, options.repeats)
        units = manifest.with_suffix(".out.jsonl")
        theirs = manifest.with_suffix(f".{names[-1]}.jsonl")
        pairs = zip(units.open(), theirs.open(), strict=True)
        same = sum(json.loads(a)["units"] == json.loads(b)["units"] for a, b in pairs)
        print(f"units of {same} of {options.utterances} utterances are those of {names[-1]}")
        speech = folder / "units.jsonl"
        lines = units.read_text().splitlines(keepends=True)
        speech.write_text("".join(lines[:: max(1, options.utterances // 40)]))
        compare("to speech", names, folder, speech, options.repeats)


if __name__ == "__main__":
    main()
