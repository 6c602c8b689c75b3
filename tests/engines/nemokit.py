"""NeMo models of the kinds that are not trained here: real files with random weights.

``python -m nemokit FOLDER`` makes them. NeMo remembers in its process what it has restored, and
then can't make an attention decoder any more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from speechkit.compat.deferred_imports import deferred
from speechkit.engines.asr.nemo.checkpoint import UNUSED

with deferred(UNUSED):
    from nemo.collections.asr import models
    from nemo.collections.common.tokenizers.canary_tokenizer import CanaryTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from tiny_models.nemo import CTC_DECODER, MODEL, TRANSDUCER, WIDTH, build_tokenizer

DURATIONS = [0, 1, 2, 3, 4]
SPOKEN_TO = "startofcontext startoftranscript pnc nopnc itn noitn timestamp notimestamp diarize "
SPOKEN_TO += "nodiarize emo:undefined en de"


def main() -> None:
    """A hybrid, two transducers, TDT and conditioned on a language, and one as Canary is."""
    folder = Path(sys.argv[1])
    text = {"dir": str(build_tokenizer(folder / "text")), "type": "bpe"}
    for name, kind, config in (
        ("hybrid", models.EncDecHybridRNNTCTCBPEModel, _hybrid),
        ("tdt", models.EncDecRNNTBPEModel, _tdt),
        ("prompted", models.EncDecRNNTBPEModelWithPrompt, _prompted),
        ("canary", models.EncDecMultiTaskModel, _canary),
    ):
        torch.manual_seed(1)
        made = kind(DictConfig({**MODEL, **config(folder, text)}))
        made.save_to(str(folder / f"{name}.nemo"))


def _hybrid(folder: Path, text: dict[str, str]) -> dict[str, Any]:
    decoding = {"strategy": "greedy"}
    auxiliary = {"ctc_loss_weight": 0.3, "decoder": CTC_DECODER, "decoding": decoding}
    return {"tokenizer": text, **TRANSDUCER, "aux_ctc": auxiliary}


def _tdt(folder: Path, text: dict[str, str]) -> dict[str, Any]:
    kwargs = {"fastemit_lambda": 0.0, "clamp": -1.0, "durations": DURATIONS, "sigma": 0.05}
    return {
        "tokenizer": text,
        **TRANSDUCER,
        "joint": {**TRANSDUCER["joint"], "num_extra_outputs": len(DURATIONS)},
        "decoding": {**MODEL["decoding"], "model_type": "tdt", "durations": DURATIONS},
        "loss": {"loss_name": "tdt", "tdt_kwargs": kwargs},
    }


def _prompted(folder: Path, text: dict[str, str]) -> dict[str, Any]:
    names = {"auto": 0, "en": 1, "de": 2}
    prompt = {"num_prompts": 3, "initialize_prompt_feature": True, "prompt_dictionary": names}
    defaults = {**TRANSDUCER["model_defaults"], **prompt}
    return {"tokenizer": text, **TRANSDUCER, "model_defaults": defaults}


def _canary(folder: Path, text: dict[str, str]) -> dict[str, Any]:
    special = folder / "special"
    special.mkdir()
    CanaryTokenizer.build_special_tokenizer(SPOKEN_TO.split(), special)
    spoken_to = {"dir": str(special), "type": "bpe"}
    canary = "nemo.collections.common.tokenizers.canary_tokenizer.CanaryTokenizer"
    transformer = {
        "hidden_size": WIDTH,
        "inner_size": 2 * WIDTH,
        "num_attention_heads": 2,
        "ffn_dropout": 0.0,
        "attn_score_dropout": 0.0,
        "attn_layer_dropout": 0.0,
        "pre_ln": True,
    }
    modules = "nemo.collections.asr.modules.transformer"
    return {
        "prompt_format": "canary2",
        "model_defaults": dict.fromkeys(
            ("asr_enc_hidden", "lm_enc_hidden", "lm_dec_hidden"), WIDTH
        ),
        "tokenizer": {
            "dir": None,
            "type": "agg",
            "langs": {"spl_tokens": spoken_to, "en": text},
            "custom_tokenizer": {"_target_": canary, "tokenizers": None},
        },
        "transf_encoder": {
            "_target_": f"{modules}.transformer_encoders.TransformerEncoder",
            "num_layers": 0,
            **transformer,
        },
        "transf_decoder": {
            "_target_": f"{modules}.get_nemo_transformer",
            "model_name": None,
            "pretrained": False,
            "encoder": None,
            "config_dict": {
                "num_layers": 1,
                "max_sequence_length": 64,
                "num_token_types": 0,
                "embedding_dropout": 0.0,
                "hidden_act": "relu",
                "vocab_size": None,
                **transformer,
            },
        },
        "head": {
            "_target_": "nemo.collections.asr.parts.submodules.token_classifier.TokenClassifier",
            "num_layers": 1,
            "activation": "relu",
            "log_softmax": True,
            "hidden_size": WIDTH,
            "num_classes": None,
            "dropout": 0.0,
        },
        "decoding": {
            "strategy": "beam",
            "beam": {"beam_size": 1, "len_pen": 0.0, "max_generation_delta": 5},
        },
        "loss": {
            "_target_": "nemo.collections.common.losses.smoothed_cross_entropy"
            ".SmoothedCrossEntropyLoss",
            "pad_id": None,
        },
    }


if __name__ == "__main__":
    main()
