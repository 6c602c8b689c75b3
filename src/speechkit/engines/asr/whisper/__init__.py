"""Whisper on PyTorch, with a model of its own; beam search by transformers."""

from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.engine_info import EngineInfo

INFO = EngineInfo(
    stage="asr",
    name="whisper",
    target="speechkit.engines.asr.whisper.engine:whisper",
    packages=("torch", "transformers"),
    install="pip install torch 'speechkit[whisper]'",
    note="any Whisper checkpoint of transformers; CUDA, MPS or CPU",
    options=WhisperOptions,
    weights=("*.json", "*.txt", "model.safetensors", "model-*.safetensors"),
    hub="openai/whisper-{}",
    model="base",
    needs_model=True,
    batched=True,
    cpu_windows=8,
)
