"""textlesslib's code around fairseq's HuBERT, and its vocoder."""

from speechkit.compat import INSTALL_TEXTLESS
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.s2s.options import S2sEngineOptions

INFO = EngineInfo(
    stage="s2s",
    name="textless",
    target="speechkit.engines.s2s.textless.engine:textless",
    packages=("torch", "fairseq", "textless"),
    install=f"{INSTALL_TEXTLESS}, after fairseq",
    note="textlesslib's HuBERT reader and vocoder",
    options=S2sEngineOptions,
    needs_model=True,
    cpu_windows=4,
)
