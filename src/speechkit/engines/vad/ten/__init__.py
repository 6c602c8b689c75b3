"""TEN VAD, the default: the more accurate one, with a licence to read."""

from speechkit.engines.engine_info import EngineInfo

INFO = EngineInfo(
    stage="vad",
    name="ten",
    target="speechkit.engines.vad.ten.engine:TenVad",
    packages=("ten-vad",),
    install="pip install ten-vad",
    note="its licence forbids competing with its vendor, Agora",
    default=True,
    batch_audio=60.0,
)
