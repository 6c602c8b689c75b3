"""The original code of HuBERT and the unit HiFi-GAN."""

from speechkit.compat import INSTALL_FAIRSEQ
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.s2s.options import S2sEngineOptions

INFO = EngineInfo(
    stage="s2s",
    name="fairseq",
    target="speechkit.engines.s2s.fairseq.engine:fairseq",
    packages=("torch", "fairseq"),
    install=f"{INSTALL_FAIRSEQ}, after everything else",
    note="fairseq's own HuBERT and unit HiFi-GAN",
    options=S2sEngineOptions,
    needs_model=True,
    cpu_windows=4,
)
