"""Where a model is looked for: a folder of its name, packages, the hub's cache, the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

import packagekit
from speechkit.engines import model_catalogue, registry
from speechkit.engines.model_catalogue import KnownModel
from speechkit.errors import EngineMissing

INFO = registry.find("asr", "faster-whisper")
COMMIT = "5" * 40


def fill_cache(cache: Path, repository: str) -> Path:
    """As an earlier download has left it."""
    place = cache / f"models--{repository.replace('/', '--')}"
    snapshot = place / "snapshots" / COMMIT
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.bin"):
        (snapshot / name).write_text("of the hub")
    return snapshot


def test_the_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = KnownModel("little", INFO.name, 1e6, "MIT", "nobody/little", packagekit.SMALL)
    monkeypatch.setattr(model_catalogue, "KNOWN", (known,))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def locate() -> Path:
        return model_catalogue.locate(INFO, "little", offline=True)

    with pytest.raises(
        EngineMissing, match=r"nobody/little is not in the cache.*pip install small"
    ):
        locate()
    assert not model_catalogue.is_here(INFO, "little")
    snapshot = fill_cache(tmp_path / "hub", "nobody/little")
    assert locate() == snapshot
    packagekit.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert model_catalogue.is_here(INFO, "little")
    assert locate() == tmp_path / "cache" / "speechkit" / "small-1"
    (tmp_path / "little").mkdir()
    assert locate() == tmp_path / "little"


@pytest.mark.parametrize("left_out", ["model.bin", "model-00002-of-00002.safetensors", "blob"])
def test_a_download_that_was_cut_off_is_not_taken(
    left_out: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    engine = "whisper" if "safetensors" in left_out else "faster-whisper"
    info = registry.find("asr", engine)
    snapshot = fill_cache(tmp_path, info.hub.format("tiny"))
    if engine == "whisper":
        weights = {"a": "model-00001-of-00002.safetensors", "b": left_out}
        index = f'{{"weight_map": {weights}}}'.replace("'", '"')
        (snapshot / "model.safetensors.index.json").write_text(index)
        for name in weights.values():
            (snapshot / name).write_text("weights")
    assert model_catalogue.locate(info, "tiny", offline=True) == snapshot
    if left_out == "blob":
        (snapshot / "config.json").unlink()
        (snapshot / "config.json").symlink_to("../../blobs/gone")
    else:
        (snapshot / left_out).unlink()
    with pytest.raises(EngineMissing, match="run: speechkit models get tiny"):
        model_catalogue.locate(info, "tiny", offline=True)


def test_the_largest_turbo_has_a_place_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EngineMissing, match="mobiuslabsgmbh/faster-whisper-large-v3-turbo is not"):
        model_catalogue.locate(INFO, "large-v3-turbo", offline=True)


@pytest.mark.parametrize("name", ["./nothing", "/no/such/model", "two words", "a/b/c"])
def test_what_can_be_no_model_is_named(name: str) -> None:
    for look in (model_catalogue.here, model_catalogue.locate):
        with pytest.raises(EngineMissing, match=f"model {name}: .*(no such folder|neither a)"):
            look(INFO, name)
