"""Any audio encoder of transformers: the default engine of embed."""

from speechkit.engines.embed.options import EncoderOptions
from speechkit.engines.engine_info import EngineInfo

INFO = EngineInfo(
    stage="embed",
    name="transformers",
    target="speechkit.engines.embed.transformers.engine:transformers",
    packages=("torch", "transformers"),
    install="pip install torch 'speechkit[s2s]'",
    note="AST, HuBERT, WavLM, wav2vec 2.0, Whisper's encoder; CUDA, MPS or CPU",
    default=True,
    options=EncoderOptions,
    weights=("*.json", "*.safetensors", "pytorch_model.bin"),
    hub="facebook/{}",
    needs_model=True,
    batched=True,
    cpu_windows=4,
)
