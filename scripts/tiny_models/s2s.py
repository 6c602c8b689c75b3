"""Tiny speech-to-speech models with random numbers, in the layouts of 2021: OUTPUT/s2s/

hubert-dict.pt, -dictconfig.pt, -args.pt, -bare.pt: one HuBERT of base's geometry in small, its
configuration saved in three ways, and without the dictionaries of pre-training
hubert-norm.pt: one of large's geometry in small
hubert-six.pt: one of six layers, for what asks for the sixth
hubert-folder/, wavlm-folder/: as transformers saves them
km.bin, km.npz: k-means of scikit-learn on features of spoken digits, and the centroids alone
vocoder/g.pt, vocoder-multi/g.pt, vocoder-style/g.pt, each with its config.json: unit HiFi-GANs,
plain, with speakers and a duration predictor, with styles too
"""

from __future__ import annotations

import copy
import json
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from omegaconf import OmegaConf
from sklearn.cluster import MiniBatchKMeans
from transformers import WavLMConfig, WavLMModel

from speechkit.compat import fairseq_checkpoint, patched_imports
from speechkit.engines import registry
from speechkit.engines.encoders import fairseq_weights
from speechkit.engines.s2s import kmeans

from . import digits
from .made import made, recipe_of

LAYER = 2  # that the k-means is of
UNITS = 50
WORDS = 200  # recordings that the k-means is fitted on

TASK = {
    "_name": "hubert_pretraining",
    "data": "/nowhere/data",
    "label_dir": "/nowhere/labels",
    "labels": ["km"],
    "label_rate": 50.0,
    "sample_rate": 16000.0,  # an integer in the fairseq of today
    "max_sample_size": 250000.0,
    "normalize": False,
    "a_field_of_2021": True,
}
MODEL = {
    "_name": "hubert",
    "label_rate": "${task.label_rate}",
    "extractor_mode": "default",
    "encoder_layers": 3,
    "encoder_embed_dim": 64,
    "encoder_ffn_embed_dim": 128.0,
    "encoder_attention_heads": 4,
    "final_dim": 16,
    "conv_feature_layers": "[(32,10,5)] + [(32,3,2)] * 4 + [(32,2,2)] * 2",
    "layer_norm_first": False,
}
VOCODER = {
    "resblock": "1",
    "upsample_rates": [5, 4, 4, 2, 2],
    "upsample_kernel_sizes": [11, 8, 8, 4, 4],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "num_embeddings": UNITS,
    "embedding_dim": 32,
    "model_in_dim": 32,
    "code_hop_size": 320,
    "sampling_rate": 16000,
}
DURATIONS = {
    "encoder_embed_dim": 32,
    "var_pred_hidden_dim": 32,
    "var_pred_kernel_size": 3,
    "var_pred_dropout": 0.5,
}
MULTI = {
    **VOCODER,
    "model_in_dim": 64,
    "multispkr": "from_input_file",
    "num_speakers": 3,
    "dur_predictor_params": DURATIONS,
}


def make(output: Path, data: Path) -> None:
    if find_spec("fairseq") is None:
        print("No s2s models: fairseq, which makes them, is not installed.", file=sys.stderr)
        return
    words = digits.load(data)[:WORDS]
    packages = ("transformers", "fairseq", "omegaconf", "scikit-learn")
    with made(output, "s2s", recipe_of("s2s", packages, words, [])) as building:
        if building is None:
            return
        folder = building / "s2s"
        folder.mkdir()
        torch.manual_seed(1)
        save_hubert(folder)
        save_quantizer(folder, words)
        for name, config in (("vocoder", VOCODER), ("vocoder-multi", MULTI)):
            save_vocoder(folder / name, config)
        style = {**MULTI, "model_in_dim": 96, "multistyle": True, "num_styles": 2}
        save_vocoder(folder / "vocoder-style", style)


def weights_of(task: dict[str, Any], model: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random numbers under fairseq's names, about as large as those of trained models."""
    package = patched_imports.fairseq()
    hubert = package.models.hubert.hubert
    settings = OmegaConf.structured(hubert.HubertConfig)
    plain = {key: value for key, value in model.items() if key not in ("_name", "label_rate")}
    plain["encoder_ffn_embed_dim"] = int(plain["encoder_ffn_embed_dim"])
    configured = OmegaConf.merge(settings, {**plain, "label_rate": task["label_rate"]})
    tasks = OmegaConf.structured(package.tasks.hubert_pretraining.HubertPretrainingConfig)
    built = hubert.HubertModel(configured, tasks, [dictionary(package)])
    state: dict[str, torch.Tensor] = built.state_dict()
    return state


def dictionary(package: Any) -> Any:
    made_of = package.data.dictionary.Dictionary()
    for number in range(UNITS):
        made_of.add_symbol(str(number))
    return made_of


def save_hubert(folder: Path) -> None:
    package = patched_imports.fairseq()
    weights = weights_of(TASK, MODEL)
    task_state = {"dictionaries": [dictionary(package)]}
    common = {"model": weights, "task_state": task_state, "best_loss": None, "args": None}
    cfg = {"_name": None, "common": {"fp16": True}, "task": TASK, "model": MODEL}
    torch.save({**common, "cfg": cfg}, folder / "hubert-dict.pt")
    nodes = OmegaConf.create(cfg)
    nodes.bmuf = OmegaConf.structured(package.dataclass.configs.FairseqBMUFConfig)
    torch.save({**common, "cfg": nodes}, folder / "hubert-dictconfig.pt")
    args = Namespace(**{**TASK, **MODEL, "task": TASK["_name"], "arch": "hubert", "lr": [0.0005]})
    del args._name
    args.label_rate = TASK["label_rate"]
    torch.save(
        {**common, "cfg": None, "args": args},
        folder / "hubert-args.pt",
        _use_new_zipfile_serialization=False,
    )
    bare = {key: value for key, value in common.items() if key != "task_state"}
    torch.save({**bare, "cfg": cfg}, folder / "hubert-bare.pt")

    norm = {**MODEL, "extractor_mode": "layer_norm", "layer_norm_first": True, "conv_bias": True}
    normed = {**TASK, "normalize": True}
    state = {
        "model": weights_of(normed, norm),
        "args": None,
        "cfg": {"task": normed, "model": norm},
    }
    torch.save(state, folder / "hubert-norm.pt")

    six = {**MODEL, "encoder_layers": 6}
    state = {"model": weights_of(TASK, six), "args": None, "cfg": {"task": TASK, "model": six}}
    torch.save(state, folder / "hubert-six.pt")

    found = fairseq_checkpoint.read(folder / "hubert-dict.pt")
    theirs, _ = fairseq_weights.load(found, int(MODEL["encoder_layers"]), allow_reinit=False)  # type: ignore[call-overload]
    theirs.save_pretrained(folder / "hubert-folder")
    wavlm = WavLMConfig(**{**theirs.config.to_diff_dict(), "model_type": "wavlm"})
    WavLMModel(wavlm).save_pretrained(folder / "wavlm-folder")


def save_quantizer(folder: Path, words: list[digits.Word]) -> None:
    model = str(folder / "hubert-dict.pt")
    engine = registry.create("s2s", "transformers", model=model, layer=LAYER, device="cpu")
    features = np.concatenate(engine.features([word.samples for word in words]))
    fitted = MiniBatchKMeans(UNITS, random_state=1, n_init=3).fit(features)
    joblib.dump(fitted, folder / "km.bin")
    kmeans.write(folder / "km.npz", fitted.cluster_centers_)


def save_vocoder(folder: Path, config: dict[str, Any]) -> None:
    """fairseq's generator with larger numbers than it starts with, so that something is heard."""
    folder.mkdir()
    generator = patched_imports.fairseq().models.text_to_speech.codehifigan
    built = generator.CodeGenerator(copy.deepcopy(config))
    state = built.state_dict()
    for name, value in state.items():
        if name.endswith("weight_v"):
            value.normal_(0, 1)
            length = value.flatten(1).norm(dim=1).view(-1, 1, 1)
            fan = value[0].numel()
            state[name.replace("weight_v", "weight_g")].copy_(length / fan**0.5)
    if config.get("multistyle"):
        state["style.weight"] = torch.randn(config["num_styles"], config["embedding_dim"])
    torch.save({"generator": state}, folder / "g.pt")
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
