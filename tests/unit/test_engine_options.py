"""What engines declare, and what runs are recognised by."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from speechkit import keys, stages
from speechkit.commands.engine_options import EngineGroup, engine_options
from speechkit.engines import model_catalogue, registry
from speechkit.engines.engine_info import STAGES, EngineInfo
from speechkit.engines.options import EngineOptions, declared, option
from speechkit.errors import EngineMissing, UsageError
from speechkit.runtime.worker_plan import Hardware, plan_workers
from speechkit.stages.asr.stage import AsrOptions, asr_stage
from speechkit.stages.s2s.stage import S2sOptions, pinned_options
from speechkit.stages.vad.segmentation import DEFAULTS
from speechkit.stages.vad.stage import VadOptions, vad_stage


def test_every_stage_has_one_default_and_no_name_twice() -> None:
    for stage in STAGES:
        own = [info for info in registry.ENGINES if info.stage == stage]
        assert [info.default for info in own].count(True) == 1
        assert len({info.name for info in own}) == len(own)


@pytest.mark.parametrize("info", registry.ENGINES, ids=lambda info: f"{info.stage}-{info.name}")
def test_every_option_has_help_and_a_default_among_its_choices(info: EngineInfo) -> None:
    for name, one in (declared(info.options) if info.options else {}).items():
        assert one.help, name
        assert not one.choices or one.default in one.choices
    if info.hub:
        assert info.weights
        assert info.takes("model")


def test_a_switch_that_is_not_set_is_not_given() -> None:
    """As ``no-cuda-graphs: false`` in a configuration, for whatever engine."""
    group = EngineGroup("asr")
    group.parameters(frozenset())
    assert group.value({"no_cuda_graphs": False, "language": None}) == {}
    assert group.value({"no_cuda_graphs": True}) == {"cuda_graphs": False}
    assert group.value({"timestamps": False}) == {"timestamps": False}


def test_the_stages_and_their_default_engines_are_the_same_everywhere() -> None:
    assert tuple(stage.name for stage in stages.STAGES) == keys.STAGES
    assert set(STAGES) < set(keys.STAGES)
    for stage, options in {"asr": AsrOptions(), "vad": VadOptions(), "s2s": S2sOptions()}.items():
        assert options.engine == registry.default(stage)


def test_a_run_of_asr_is_recognised_by_what_pins_it(tmp_path: Path) -> None:
    """By the same keys and values as before engines declared their options."""
    given = {"language": "en", "temperature": (0.0,), "beam_size": 1, "timestamps": False}
    options = AsrOptions(
        engine="faster-whisper", model=str(tmp_path), words=True, engine_options=given
    )
    stage = asr_stage(options, Hardware(device="cpu", batch_size=3))
    assert stage.options == {
        **{"engine": "faster-whisper", "model": str(tmp_path), "words": True, "chars": False},
        **{"channel": None, "track": None, "decoding": given},
    }


def test_runs_of_vad_and_s2s_are_recognised_as_before() -> None:
    vad = vad_stage(VadOptions(engine="ten", segmentation=DEFAULTS["ten"]))
    assert set(vad.options) == {
        *("engine", "segmentation", "emit", "probabilities", "channel", "track")
    }
    names = {"engine", "model", "layer", "quantizer", "speech", "keep_repeats", "max_window"}
    names |= {"compute_type", "allow_reinit", "channel", "track"}
    for engine in ("transformers", "fairseq"):
        pinned = pinned_options(registry.find("s2s", engine), S2sOptions(engine=engine))
        assert set(pinned) == names
        assert pinned["allow_reinit"] is False
    allowed = S2sOptions(engine="transformers", engine_options={"allow_reinit": True})
    assert pinned_options(registry.find("s2s", "transformers"), allowed)["allow_reinit"] is True


def test_options_that_change_no_result_pin_nothing() -> None:
    nemo = registry.find("asr", "nemo")
    given = {"dataloader": "lhotse", "cuda_graphs": False, "max_window": 20.0}
    assert registry.pinned(nemo, given) == {"max_window": 20.0}


@pytest.mark.parametrize(
    ("engine", "given", "sentence"),
    [
        ("pocketsphinx", {"beam_size": 5}, "--beam-size: not for the engine pocketsphinx; for"),
        ("whisper", {"cuda_graphs": False}, "--no-cuda-graphs: not for the engine whisper; for"),
        ("pocketsphinx", {"timestamps": False}, "--no-timestamps: not for"),
        ("nemo", {"dataloader": "no"}, "--dataloader no: there are direct, lhotse, manifest"),
        ("whisper", {"task": "sing"}, "--task sing: there are transcribe, translate"),
    ],
)
def test_options_that_an_engine_does_not_take(
    engine: str, given: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        registry.configure(registry.find("asr", engine), given)


def test_every_option_of_asr_stands_once_and_knows_its_engines() -> None:
    found = {one.name: one.engines for one in engine_options("asr")}
    assert found["language"] == ("faster-whisper", "nemo", "whisper")
    assert found["beam_size"] == ("faster-whisper", "whisper")
    assert found["dataloader"] == ("nemo",)
    assert not {"device", "batch_size", "model", "words"} & set(found)
    names = [one.name for one in EngineGroup("asr").parameters(frozenset())]
    assert len(names) == len({*names}) == len(found)


@pytest.mark.parametrize("text", ["", "a", "0,3", "-1"])
def test_a_value_that_cant_be_parsed(text: str) -> None:
    group = EngineGroup("asr")
    group.parameters(frozenset())
    with pytest.raises(UsageError, match=f"--temperature {text}: numbers from 0 to 2"):
        group.value({"temperature": text})
    assert group.value({"temperature": "0,0.5", "no_cuda_graphs": True}) == {
        "temperature": (0.0, 0.5),
        "cuda_graphs": False,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions(EngineOptions):
    model: str = ""
    device: str = "auto"
    batch_size: int = 0
    strength: int = option(1, help="Of the engine.")


def test_an_engine_of_local_models_on_a_device(tmp_path: Path) -> None:
    """No hub, but a device and a model of its own kind of files."""
    info = EngineInfo(
        stage="asr",
        name="local",
        target="nowhere:Nothing",
        options=LocalOptions,
        weights=("*.bin",),
        needs_model=True,
    )
    assert [one.name for one in fields(LocalOptions)][-1] == "strength"
    assert plan_workers(info, Hardware(device="cuda", gpus=("0", "1")), None).workers == 2
    (tmp_path / "m.bin").write_bytes(b"weights")
    assert model_catalogue.locate(info, str(tmp_path / "m.bin")) == tmp_path / "m.bin"
    for look in (model_catalogue.locate, model_catalogue.here):
        with pytest.raises(EngineMissing, match="model base: no such folder or file; the engine"):
            look(info, "base")
