"""Silero VAD: free for any use, and without system libraries."""

from speechkit.engines.engine_info import EngineInfo

INFO = EngineInfo(
    stage="vad",
    name="silero",
    target="speechkit.engines.vad.silero.engine:SileroVad",
    packages=("onnx", "onnxruntime", "faster-whisper"),
    install="pip install onnx onnxruntime faster-whisper",
    note="MIT; faster-whisper carries the weights",
    batch_audio=240.0,
    batched=True,
)
