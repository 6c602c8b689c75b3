"""Converts a fairseq HuBERT checkpoint to transformers: the same weights under other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from transformers import HubertConfig, HubertModel

from speechkit.compat.fairseq_checkpoint import Checkpoint, Weights, conv_layers
from speechkit.errors import EngineMissing

#: fairseq's names and transformers', in the order in which they are tried.
NAMES = (
    (r"mask_emb", "masked_spec_embed"),
    (r"post_extract_proj\.(.*)", r"feature_projection.projection.\1"),
    (r"layer_norm\.(.*)", r"feature_projection.layer_norm.\1"),
    (
        r"feature_extractor\.conv_layers\.(\d+)\.0\.(.*)",
        r"feature_extractor.conv_layers.\1.conv.\2",
    ),
    (
        r"feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?(weight|bias)",
        r"feature_extractor.conv_layers.\1.layer_norm.\2",
    ),
    # weight_norm of 2021 and of torch 2.0: g is the length of each filter, v its direction.
    (
        r"encoder\.pos_conv\.0\.(?:weight_g|parametrizations\.weight\.original0)",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0",
    ),
    (
        r"encoder\.pos_conv\.0\.(?:weight_v|parametrizations\.weight\.original1)",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original1",
    ),
    (r"encoder\.pos_conv\.0\.bias", "encoder.pos_conv_embed.conv.bias"),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.(k_proj|v_proj|q_proj|out_proj)\.(.*)",
        r"encoder.layers.\1.attention.\2.\3",
    ),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(.*)", r"encoder.layers.\1.layer_norm.\2"),
    (r"encoder\.layers\.(\d+)\.fc1\.(.*)", r"encoder.layers.\1.feed_forward.intermediate_dense.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(.*)", r"encoder.layers.\1.feed_forward.output_dense.\2"),
    (r"(encoder\.layers\.\d+\.final_layer_norm\..*)", r"\1"),
    (r"(encoder\.layer_norm\..*)", r"\1"),
)
#: Weights that only pre-training needs.
UNUSED = re.compile(r"label_embs_concat|final_proj\..*|target_glu\..*|num_batches_tracked")


def load(checkpoint: Checkpoint, layers: int, *, allow_reinit: bool) -> tuple[Any, list[str]]:
    """The model with its first ``layers`` layers, and the names of reinitialised weights.

    Raise `EngineMissing` where weights are missing, unknown, or of other shapes than the
    configuration says; ``allow_reinit`` replaces wrong ones by random numbers instead.
    """
    weights = _renamed(checkpoint, layers)
    try:
        config = _config(checkpoint, layers)
        with torch.device("meta"):  # nothing is allocated for what a configuration says
            model: Any = HubertModel(config)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, ZeroDivisionError) as e:
        raise EngineMissing(
            f"{checkpoint.path}: its configuration is no HuBERT's: {e!r:.200}"
        ) from e
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    norm = weights.get("feature_projection.layer_norm.weight", torch.zeros(0))
    if (len(norm), len(norm)) == shapes["feature_projection.projection.weight"]:
        for name, value in _identity(len(norm)).items():  # fairseq has none between equals
            weights.setdefault(name, value)
    weights.setdefault("masked_spec_embed", torch.zeros(len(norm)))  # of pre-training alone
    _require_known(set(weights) - set(shapes), checkpoint)
    wrong = {name for name in shapes if _shape(weights, name) != shapes[name]}
    if wrong and not allow_reinit:
        raise EngineMissing(_disagreement(sorted(wrong), weights, shapes, checkpoint))
    if wrong:
        torch.manual_seed(0)
        fresh: Any = HubertModel(config)
        weights |= {name: fresh.state_dict()[name] for name in wrong}
    model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return model, sorted(wrong)


def _shape(weights: Mapping[str, torch.Tensor], name: str) -> torch.Size | None:
    return weights[name].shape if name in weights else None


def _config(checkpoint: Checkpoint, layers: int) -> HubertConfig:
    settings = {**DEFAULTS, **{k: v for k, v in checkpoint.model.items() if v is not None}}
    for key, usual in (("layer_type", "transformer"), ("pos_conv_depth", 1)):
        if settings.get(key, usual) != usual:
            raise EngineMissing(
                f"{checkpoint.path}: {key} is {settings[key]}, which transformers' HuBERT has not; "
                "try --engine fairseq"
            )
    convolutions = conv_layers(settings["conv_feature_layers"], checkpoint.path)
    return HubertConfig(
        hidden_size=int(settings["encoder_embed_dim"]),
        num_hidden_layers=layers,
        num_attention_heads=int(settings["encoder_attention_heads"]),
        intermediate_size=int(settings["encoder_ffn_embed_dim"]),
        hidden_act=settings["activation_fn"],
        feat_extract_norm="group" if settings["extractor_mode"] == "default" else "layer",
        conv_dim=[dim for dim, _, _ in convolutions],
        conv_kernel=[kernel for _, kernel, _ in convolutions],
        conv_stride=[stride for _, _, stride in convolutions],
        conv_bias=bool(settings["conv_bias"]),
        num_conv_pos_embeddings=int(settings["conv_pos"]),
        num_conv_pos_embedding_groups=int(settings["conv_pos_groups"]),
        do_stable_layer_norm=bool(settings["layer_norm_first"]),
        layer_norm_eps=1e-5,  # torch's, which fairseq takes
    )


def layer_count(checkpoint: Checkpoint) -> int:
    return int(checkpoint.model.get("encoder_layers") or DEFAULTS["encoder_layers"])


#: fairseq's HubertConfig, for settings that a checkpoint doesn't have.
DEFAULTS: dict[str, Any] = {
    "extractor_mode": "default",
    "encoder_layers": 12,
    "encoder_embed_dim": 768,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "conv_feature_layers": "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2",
    "conv_bias": False,
    "conv_pos": 128,
    "conv_pos_groups": 16,
}


def _renamed(checkpoint: Checkpoint, layers: int) -> Weights:
    renamed: Weights = {}
    unknown = set()
    for name, value in checkpoint.weights.items():
        layer = re.match(r"encoder\.layers\.(\d+)\.", name)
        if UNUSED.fullmatch(name) or (layer and int(layer[1]) >= layers):
            continue
        for pattern, new_name in NAMES:
            match = re.fullmatch(pattern, name)
            if match:
                renamed[match.expand(new_name)] = value
                break
        else:
            unknown.add(name)
    _require_known(unknown, checkpoint)
    return renamed


def _identity(width: int) -> Weights:
    """A projection that leaves everything as it is, exactly."""
    return {
        "feature_projection.projection.weight": torch.eye(width),
        "feature_projection.projection.bias": torch.zeros(width),
    }


def _require_known(unknown: set[str], checkpoint: Checkpoint) -> None:
    if unknown:
        raise EngineMissing(
            f"{checkpoint.path}: holds {len(unknown)} weights that HuBERT has not, such as "
            f"{min(unknown)}"
        )


def _disagreement(
    wrong: list[str],
    weights: Mapping[str, torch.Tensor],
    shapes: Mapping[str, torch.Size],
    checkpoint: Checkpoint,
) -> str:
    name = wrong[0]
    shape = _shape(weights, name)
    state = f"is {list(shape)}" if shape is not None else "is not there"
    others = f" (and {len(wrong) - 1} more weights disagree)" if len(wrong) > 1 else ""
    return (
        f"{checkpoint.path}: {name} {state}, but its configuration asks for {list(shapes[name])}"
        f"{others}; with other numbers the features would be noise. --allow-reinit takes random "
        "ones nevertheless"
    )
