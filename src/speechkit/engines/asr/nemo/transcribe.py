"""Batches through NeMo's own `transcribe()`: for attention decoders, and for its datasets.

``direct``: the windows reach it as tensors, in the batch we made. ``lhotse`` and ``manifest``: as
files of the run's temporary folder, by NeMo's two kinds of dataset. All three run in this process
alone, without workers that a batch system never granted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from speechkit.engines.asr.nemo import checkpoint, prompts

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

Loader = Callable[[Sequence["Waveform"], int, Any], AbstractContextManager[Any]]


class Transcribe:
    """Maps windows at the model's sample rate to NeMo's hypotheses or texts.

    ``dataloader``: of `LOADERS`. ``dtype``: of an autocast.
    """

    def __init__(
        self,
        model: Any,
        language: str | None,
        dtype: torch.dtype,
        *,
        dataloader: str,
        timestamps: bool,
    ) -> None:
        self._model = model
        self._language = language
        self._dtype = dtype
        self._load = LOADERS[dataloader]
        self._timestamps = timestamps
        self._rate = checkpoint.sample_rate(model)
        self._attends = prompts.is_attention_decoder(model)

    def __call__(self, windows: Sequence[Waveform]) -> list[Any]:
        config = _configuration(self._model, len(windows), hypotheses=self._timestamps)
        writes_times = self._timestamps and not prompts.has_aligner(self._model)
        prompts.tell(self._model, config, self._language, times=writes_times)
        options = {"timestamps": self._timestamps or None} if self._attends else {}
        device = next(self._model.parameters()).device
        is_lowered = self._dtype != torch.float32
        with (
            self._load(windows, self._rate, config) as audio,
            torch.autocast(device.type, self._dtype, enabled=is_lowered),
        ):
            outputs = self._model.transcribe(audio, override_config=config, **options)
        if len(outputs) != len(windows):
            raise RuntimeError(f"NeMo gave {len(outputs)} transcripts of {len(windows)} windows")
        return list(outputs)


def _configuration(model: Any, windows: int, *, hypotheses: bool) -> Any:
    """NeMo's configuration for this model, with those of the fields below that this version has.

    ``hypotheses``: return the data for timestamps along with the text.
    """
    config = model.get_transcribe_config()
    fields = {
        "batch_size": windows,
        "num_workers": 0,
        "drop_last": False,
        "force_map_dataset": True,
        "return_hypotheses": hypotheses,
        "channel_selector": None,
        "enable_chunking": False,  # windows are short enough, and NeMo's own merge loses words
        "timestamps": None,
        "verbose": False,
    }
    for name, value in fields.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


@contextmanager
def _direct(windows: Sequence[Waveform], rate: int, config: Any) -> Iterator[Any]:
    lengths = torch.tensor([len(window) for window in windows])
    signals = pad_sequence([torch.from_numpy(window) for window in windows], batch_first=True)
    batches: Any = [(signals, lengths, None, None)]
    yield DataLoader(batches, batch_size=None, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


@contextmanager
def _files(
    windows: Sequence[Waveform], rate: int, config: Any, *, lhotse: bool
) -> Iterator[list[str]]:
    if hasattr(config, "use_lhotse"):
        config.use_lhotse = lhotse
    with tempfile.TemporaryDirectory(prefix="windows-") as folder:
        paths = [str(Path(folder) / f"{index}.wav") for index in range(len(windows))]
        for path, window in zip(paths, windows, strict=True):
            soundfile.write(path, window, rate, subtype="FLOAT")
        yield paths


LOADERS: dict[str, Loader] = {
    "direct": _direct,
    "lhotse": partial(_files, lhotse=True),
    "manifest": partial(_files, lhotse=False),
}
