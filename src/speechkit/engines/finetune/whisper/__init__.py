"""Whisper in training, by torch, transformers' model and peft."""

from speechkit.engines.engine_info import EngineInfo

INFO = EngineInfo(
    stage="finetune",
    name="whisper",
    target="speechkit.engines.finetune.whisper.trainer:WhisperTrainer",
    packages=("torch", "transformers", "peft"),
    install="pip install torch 'speechkit[finetune]'",
    note="any Whisper checkpoint of transformers; CUDA or CPU",
    needs_model=True,
)
