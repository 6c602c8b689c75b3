"""Whisper on CTranslate2, the default engine of asr."""

from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.engine_info import EngineInfo

INFO = EngineInfo(
    stage="asr",
    name="faster-whisper",
    target="speechkit.engines.asr.faster_whisper.engine:faster_whisper",
    packages=("faster-whisper", "ctranslate2"),
    install="pip install faster-whisper",
    note="Whisper on CTranslate2, the fast one on CPU; CUDA or CPU",
    default=True,
    options=WhisperOptions,
    weights=("*.json", "*.txt", "model.bin"),
    hub="Systran/faster-whisper-{}",
    model="base",
    needs_model=True,
    batched=True,
    cpu_windows=4,
)
