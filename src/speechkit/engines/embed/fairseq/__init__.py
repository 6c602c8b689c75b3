"""HuBERT by fairseq's own code."""

from speechkit.compat import INSTALL_FAIRSEQ
from speechkit.engines.embed.options import EncoderOptions
from speechkit.engines.engine_info import EngineInfo

INFO = EngineInfo(
    stage="embed",
    name="fairseq",
    target="speechkit.engines.embed.fairseq.engine:fairseq",
    packages=("torch", "fairseq"),
    install=f"{INSTALL_FAIRSEQ}, after everything else",
    note="fairseq's own HuBERT",
    options=EncoderOptions,
    needs_model=True,
    cpu_windows=4,
)
