"""The description of an engine, which is read without importing the engine."""

from __future__ import annotations

from dataclasses import dataclass, fields

from speechkit.engines.options import EngineOptions

STAGES = ("vad", "asr", "s2s", "embed")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """An engine: its name, its place and its needs.

    ``stage``: vad, asr, s2s or embed. ``target``: ``module:callable``, called with an instance of
    ``options``; without ``options``, with nothing. ``packages``: the distributions it needs;
    ``install``: the command that brings them. ``note``: a line for `speechkit doctor`.
    ``default``: the engine of its stage where none is named.

    ``weights``: patterns of a model's files; a single pattern where a model is a single file. With
    them, a model can be named, and is looked for by the catalogue. ``hub``: the repository of a
    short name on the Hugging Face hub, as ``owner/prefix-{}``; "" where models are local only.
    ``model``: the short name of the default model. ``needs_model``: it can't be built without a
    model, so that `speechkit doctor` only imports it.

    ``batch_audio``: seconds of audio in a batch; 0 where the device decides. ``batched``: the
    utterances of a batch are computed together. ``cpu_windows``: windows in a batch on a CPU.
    ``stalls``: it is known to hang, whatever its input. ``temporary``: it writes to TMPDIR.
    """

    stage: str
    name: str
    target: str
    packages: tuple[str, ...] = ()
    install: str = ""
    note: str = ""
    default: bool = False
    options: type[EngineOptions] | None = None
    weights: tuple[str, ...] = ()
    hub: str = ""
    model: str = ""
    needs_model: bool = False
    batch_audio: float = 0.0
    batched: bool = False
    cpu_windows: int = 16
    stalls: bool = False
    temporary: bool = False

    def takes(self, name: str) -> bool:
        """Whether its options have a field of this name."""
        return self.options is not None and name in {one.name for one in fields(self.options)}
