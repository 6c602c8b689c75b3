"""Restores a model as NeMo saved it, and sets how it decodes."""

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

from speechkit.compat import checkpoint, home_folder
from speechkit.compat.archives import unpacked
from speechkit.engines.asr.nemo import configuration
from speechkit.engines.asr.nemo.prompts import is_attention_decoder
from speechkit.errors import EngineMissing

WINDOW_STRIDE = 0.01  # seconds, of preprocessors that don't say
MAX_SYMBOLS = 10  # a frame, of a transducer; NeMo's own default, which many checkpoints undo


def restore(path: Path, device: torch.device) -> Any:
    """The ASR model of a ``.nemo`` file or a folder. Raises `EngineMissing` where there is none.

    NeMo gets the configuration that `configuration.read` has checked, files of the model's own
    folder alone, and weights that were read without pickle.
    """
    home_folder.protect()
    _quieten()
    file = _file(path)
    files = unpacked(file) if file.is_file() else nullcontext(file)
    with warnings.catch_warnings(), files as found:
        warnings.simplefilter("ignore")
        try:
            model = _restored(found, device)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as e:
            reason = " ".join(str(e).split())[:400].replace(f"{found}/", "")
            if not isinstance(e, EngineMissing):
                reason = f"not a model that NeMo can restore: {reason}"
            raise EngineMissing(f"--model {path}: {reason}") from e
    decodes = hasattr(model, "transcribe") and hasattr(model, "change_decoding_strategy")
    if not decodes or "override_config" not in _parameters(model.transcribe):
        raise EngineMissing(f"--model {path}: a {type(model).__name__} can't transcribe")
    return model.to(device).eval()


def _restored(folder: Path, device: torch.device) -> Any:
    config = configuration.read(folder)
    from hydra.utils import get_class
    from nemo.core.connectors.save_restore_connector import SaveRestoreConnector

    register: Any = SaveRestoreConnector.register_artifact

    def own_file(
        connector: Any, model: Any, key: str, source: str, verify_src_exists: bool = True
    ) -> Any:
        """In the model's folder, where NeMo keeps them all, whichever folder the key names."""
        own = folder.absolute() / Path(str(source).removeprefix("nemo:")).name
        if source and verify_src_exists and not own.is_file():
            raise FileNotFoundError(f"{key}: no {own.name} in it")
        return register(connector, model, key, source and str(own), verify_src_exists)

    def weights(file: str, map_location: Any = "cpu") -> Any:
        return checkpoint.unpickled(Path(file), map_location)

    connector = SaveRestoreConnector()
    connector.model_extracted_dir = str(folder)
    # NeMo makes connectors of its own beside this one.
    with (
        mock.patch.object(logging.getLogger("nemo_logger"), "disabled", True),  # of tracebacks
        mock.patch.multiple(
            SaveRestoreConnector,
            register_artifact=own_file,
            _load_state_dict_from_disk=staticmethod(weights),
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
    if path.is_file() or (path / "model_config.yaml").is_file():
        return path
    found = sorted(path.glob("*.nemo"))
    if not found:
        raise EngineMissing(f"--model {path}: no .nemo file in it")
    if len(found) > 1:
        raise EngineMissing(
            f"--model {path}: a folder with {len(found)} .nemo files; name one of them"
        )
    return found[0]


def _quieten() -> None:
    """Only errors are told: NeMo warns on every call, of what is set here on purpose."""
    # A filter, as NeMo sets the level of its logger itself whenever it transcribes.
    logging.getLogger("nemo_logger").addFilter(_is_grave)
    logging.getLogger("nv_one_logger").setLevel(logging.ERROR)
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # of functions taken for classes
    warnings.filterwarnings("ignore", message="'pin_memory' argument is set")


def _is_grave(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def set_decoding(model: Any, *, timestamps: bool, cuda_graphs: bool) -> None:
    """Greedy or beam as the checkpoint says, but with one best transcript, and a transducer's loop
    always comes to an end."""
    decoding = model.cfg.decoding
    with open_dict(decoding):
        beam, greedy = decoding.get("beam"), decoding.get("greedy")
        if beam is not None:
            beam.return_best_hypothesis = True
        if hasattr(model, "joint"):
            for one in (one for one in (greedy, beam) if one is not None):
                given = one.get("max_symbols") or one.get("max_symbols_per_step")
                one.max_symbols = given or MAX_SYMBOLS
            if greedy is not None:
                greedy.use_cuda_graph_decoder = cuda_graphs
            if beam is not None:
                beam.allow_cuda_graphs = cuda_graphs
        if not is_attention_decoder(model):
            decoding.compute_timestamps = timestamps
    quietly = {"verbose": False} if "verbose" in _parameters(model.change_decoding_strategy) else {}
    model.change_decoding_strategy(decoding, **quietly)


def sample_rate(model: Any) -> int:
    """Hz that the model was trained on."""
    return int(model.cfg.preprocessor.sample_rate)


def seconds_a_frame(model: Any) -> float:
    """Of the encoder's output."""
    factor = getattr(model.encoder, "subsampling_factor", None)
    factor = factor or model.cfg.encoder.get("subsampling_factor") or 1
    return float(model.cfg.preprocessor.get("window_stride") or WINDOW_STRIDE) * int(factor)
