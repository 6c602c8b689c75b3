"""Restores a model that NeMo saved, and configures its decoding."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from omegaconf import OmegaConf, open_dict

from speechkit.compat import fairseq_checkpoint, home_folder
from speechkit.compat.archives import unpacked
from speechkit.compat.deferred_imports import deferred
from speechkit.engines.asr.nemo import configuration
from speechkit.engines.asr.nemo.prompts import is_attention_decoder
from speechkit.errors import EngineMissing, UsageError

WINDOW_STRIDE = 0.01  # seconds, of preprocessors that don't say
#: What NeMo and lightning import for training, for metrics, and for other tasks.
UNUSED = (
    *("torch._dynamo", "pytorch_lightning", "transformers", "datasets", "pandas", "sklearn"),
    *("scipy.signal", "scipy.optimize"),
    "nemo.collections.asr.modules.transformer_encoder",  # which compiles its attention
)
POSITIONS = 5000  # frames, NeMo's default; its encoders make more as they are needed
MAX_SYMBOLS = 10  # a frame, of a transducer; NeMo's own default, which many checkpoints undo


def restore(path: Path, device: torch.device) -> Any:
    """The ASR model of a ``.nemo`` file or a folder. Raise `EngineMissing` where there is none.

    NeMo receives a configuration checked by `configuration.read`, only files of the model's own
    folder, and weights read without pickle.
    """
    home_folder.protect()
    _quieten()
    file = _file(path)
    files = unpacked(file) if file.is_file() else nullcontext(file)
    with warnings.catch_warnings(), files as folder:
        warnings.simplefilter("ignore")
        try:
            model = _restored(folder, device)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as e:
            reason = " ".join(str(e).split())[:400].replace(f"{folder}/", "")
            if not isinstance(e, EngineMissing):
                reason = f"not a model that NeMo can restore: {reason}"
            raise EngineMissing(f"--model {path}: {reason}") from e
    can_decode = hasattr(model, "transcribe") and hasattr(model, "change_decoding_strategy")
    if not can_decode or "override_config" not in _parameters(model.transcribe):
        raise EngineMissing(f"--model {path}: a {type(model).__name__} can't transcribe")
    return model.to(device).eval()


def _restored(folder: Path, device: torch.device) -> Any:
    config = configuration.read(folder)
    with deferred(UNUSED):
        return _restored_by_nemo(config, folder, device)


def _restored_by_nemo(config: dict[str, Any], folder: Path, device: torch.device) -> Any:
    from hydra.utils import get_class
    from nemo.core.connectors.save_restore_connector import SaveRestoreConnector

    register: Any = SaveRestoreConnector.register_artifact

    def register_from_folder(
        connector: Any, model: Any, key: str, source: str, verify_src_exists: bool = True
    ) -> Any:
        """Take the file from the model's folder, whichever folder the key names."""
        file = folder.absolute() / Path(str(source).removeprefix("nemo:")).name
        if source and verify_src_exists and not file.is_file():
            raise FileNotFoundError(f"{key}: no {file.name} in it")
        return register(connector, model, key, source and str(file), verify_src_exists)

    def read_weights(file: str, map_location: Any = "cpu") -> Any:
        return fairseq_checkpoint.load_inert(Path(file), map_location)

    connector = SaveRestoreConnector()
    connector.model_extracted_dir = str(folder)
    # NeMo also creates connectors of its own.
    with (
        mock.patch.object(logging.getLogger("nemo_logger"), "disabled", True),  # of tracebacks
        mock.patch.multiple(
            SaveRestoreConnector,
            register_artifact=register_from_folder,
            _load_state_dict_from_disk=staticmethod(read_weights),
        ),
    ):
        model: Any = get_class(config["target"])
        return model.restore_from(
            str(folder),
            override_config_path=OmegaConf.create(config),
            map_location=device,
            save_restore_connector=connector,
        )


def _parameters(function: Any) -> Mapping[str, Any]:
    return signature(function).parameters


def _file(path: Path) -> Path:
    """The ``.nemo`` file of a folder, or the folder of an unpacked one."""
    if path.is_file() or (path / "model_config.yaml").is_file():
        return path
    files = sorted(path.glob("*.nemo"))
    if not files:
        raise EngineMissing(f"--model {path}: no .nemo file in it")
    if len(files) > 1:
        raise EngineMissing(
            f"--model {path}: a folder with {len(files)} .nemo files; name one of them"
        )
    return files[0]


def _quieten() -> None:
    """Let only errors through: NeMo warns on every call of settings made on purpose."""
    # A filter, because NeMo resets the level of its logger whenever it transcribes.
    logging.getLogger("nemo_logger").addFilter(_is_grave)
    logging.getLogger("nv_one_logger").setLevel(logging.ERROR)
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # of functions taken for classes
    warnings.filterwarnings("ignore", message="'pin_memory' argument is set")


def _is_grave(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def set_decoding(model: Any, *, timestamps: bool, cuda_graphs: bool) -> None:
    """Decode as the checkpoint says, greedily or by beams, but to a single best transcript.

    A transducer's loop gets a limit, so that it always ends.
    """
    decoding = model.cfg.decoding
    with open_dict(decoding):
        if decoding.get("beam") is not None:
            decoding.beam.return_best_hypothesis = True
        if hasattr(model, "joint"):
            _set_transducer(decoding, cuda_graphs)
        if not is_attention_decoder(model):
            decoding.compute_timestamps = timestamps
            if decoding.get("strategy") == "greedy":  # the same, one by one and on the CPU
                decoding.strategy = "greedy_batch"
    quietly = {"verbose": False} if "verbose" in _parameters(model.change_decoding_strategy) else {}
    model.change_decoding_strategy(decoding, **quietly)
    separators = getattr(model.decoding, "segment_seperators", None)
    if separators is not None:  # looked up for each word: half the time of timestamps in OmegaConf
        model.decoding.segment_seperators = list(separators)


def _set_transducer(decoding: Any, cuda_graphs: bool) -> None:
    for name, graphs in (("greedy", "use_cuda_graph_decoder"), ("beam", "allow_cuda_graphs")):
        strategy = decoding.get(name)
        if strategy is not None:
            limit = strategy.get("max_symbols") or strategy.get("max_symbols_per_step")
            strategy.max_symbols = limit or MAX_SYMBOLS
            strategy[graphs] = cuda_graphs


def attend_locally(model: Any, frames: int) -> None:
    """Limit the encoder's attention to ``frames`` on each side, whose memory and time grow with a
    window's length and not with its square. Raise `UsageError` where it has no such attention."""
    encoder = model.encoder
    attends_to_all = list(getattr(encoder, "att_context_size", ())) == [-1, -1]
    if getattr(encoder, "self_attention_model", "") != "rel_pos" or not attends_to_all:
        raise UsageError("--local-attention: only for Conformers that attend to the whole window")
    with open_dict(encoder._cfg):
        encoder._cfg.setdefault("pos_emb_max_len", POSITIONS)
    model.change_attention_model("rel_pos_local_attn", [frames, frames])
    model.change_subsampling_conv_chunking_factor(1)  # as far as the convolution's limits ask


def lower(model: Any, dtype: torch.dtype) -> None:
    """Convert the weights to this precision, but for the features', as NeMo's scripts do."""
    for name, child in model.named_children():
        if name != "preprocessor":
            child.to(dtype)
    sentinel = "dtype_sentinel_tensor"  # the precision of the preprocessor's output
    if hasattr(model.preprocessor, sentinel):
        setattr(model.preprocessor, sentinel, getattr(model.preprocessor, sentinel).to(dtype))


def sample_rate(model: Any) -> int:
    """Hz that the model was trained on."""
    return int(model.cfg.preprocessor.sample_rate)


def seconds_a_frame(model: Any) -> float:
    """Of the encoder's output."""
    factor = getattr(model.encoder, "subsampling_factor", None)
    factor = factor or model.cfg.encoder.get("subsampling_factor") or 1
    return float(model.cfg.preprocessor.get("window_stride") or WINDOW_STRIDE) * int(factor)
