"""The log of a pipe's audio: kept whole over kills and full disks, and no longer than needed."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speechkit.errors import OutputConflict, OutputFailed
from speechkit.serving.sources.source import NoAudio, Source
from speechkit.serving.stream import pcm_log
from speechkit.serving.stream.pcm_log import PcmLog, remove_log

Waveform = NDArray[np.float32]


def numbered(start: int, end: int) -> Waveform:
    return np.arange(start, end, dtype=np.float32) / 3


def read(log: PcmLog, start: int, end: int | None = None) -> Waveform:
    return np.concatenate([np.zeros(0, np.float32), *log.read(start, end)])


@pytest.fixture(autouse=True)
def pieces_of_100_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcm_log, "PIECE", 100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of the samples 50 to 409 whose process was killed."""
    log = PcmLog(tmp_path / "out.jsonl.audio", heard=50)
    for start in range(50, 410, 60):
        log.append(numbered(start, start + 60))
    return tmp_path / "out.jsonl.audio"


def test_it_is_read_back_from_any_sample(folder: Path) -> None:
    assert [path.stem for path in sorted(folder.iterdir())] == [
        f"{begins:012}" for begins in (50, 170, 290)
    ]
    with PcmLog(folder) as log:
        assert log.end == 410
        for start in (50, 169, 170, 171, 409, 410):
            assert np.array_equal(read(log, start), numbered(start, 410))
        assert np.array_equal(read(log, 100, 300), numbered(100, 300))
        with pytest.raises(OutputFailed, match=r"lacks the audio from 0\.00 to 0\.03 s"):
            read(log, 0)


def test_it_goes_on_after_half_a_sample(folder: Path) -> None:
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes()[:-3])
    with PcmLog(folder) as log:
        assert log.end == 409
        log.append(numbered(409, 450))
        assert np.array_equal(read(log, 60), numbered(60, 450))


def test_what_is_settled_is_forgotten(folder: Path) -> None:
    with PcmLog(folder) as log:
        log.forget(169)
        assert np.array_equal(read(log, 50), numbered(50, 410))
        log.forget(170)
        assert [path.stem for path in sorted(folder.iterdir())] == ["000000000170", "000000000290"]
        log.forget(10_000)
        assert np.array_equal(read(log, 290), numbered(290, 410))
        log.append(numbered(410, 420))
    remove_log(folder)
    assert not folder.exists()


def test_a_missing_piece_is_said(folder: Path) -> None:
    (folder / "000000000170.f32").unlink()
    with pytest.raises(OutputFailed, match=r"lacks the audio from 0\.01 to 0\.02 s; --restart"):
        PcmLog(folder)


def test_nothing_is_written_through_a_link(folder: Path, tmp_path: Path) -> None:
    last = max(folder.iterdir())
    last.rename(tmp_path / "elsewhere")
    last.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputConflict, match="is a link"):
        PcmLog(folder)


def test_a_full_disk_leaves_whole_blocks(folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with PcmLog(folder) as log:
        log.append(numbered(410, 450))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * 60 + 2, limits[1]))
        try:
            with pytest.raises(OutputFailed, match=r"410\.f32: can't be written: File too"):
                log.append(numbered(450, 500))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (folder / "000000000410.f32").stat().st_size == 4 * 40
        assert np.array_equal(read(log, 50), numbered(50, 450))
        log.append(numbered(450, 500))
        assert np.array_equal(read(log, 50), numbered(50, 500))


class Pipe(Source):
    """A source of two blocks, or of none."""

    name = "pipe"

    def __init__(self, start: int | None) -> None:
        self.remarks: deque[str] = deque()
        self._start = start

    def blocks(self) -> Iterator[Waveform]:
        if self._start is None:
            raise NoAudio("pipe: no audio came in")
        yield numbered(self._start, self._start + 30)
        yield numbered(self._start + 30, self._start + 60)


def test_a_source_goes_on_behind_its_log(folder: Path) -> None:
    with PcmLog(folder) as log:
        blocks = log.recorded(Pipe(410), start=200).blocks()
        heard = []
        for block in blocks:
            heard.append(block)
            assert np.array_equal(read(log, 200), numbered(200, max(410, log.end)))
            assert log.end >= 200 + sum(map(len, heard))  # written before it is heard
        assert np.array_equal(np.concatenate(heard), numbered(200, 470))


def test_an_empty_pipe_ends_the_stream_of_a_log(folder: Path, tmp_path: Path) -> None:
    for start in (200, 410):
        with PcmLog(folder) as log:
            blocks = list(log.recorded(Pipe(None), start).blocks())
            assert sum(map(len, blocks)) == 410 - start
    with PcmLog(tmp_path / "new") as log, pytest.raises(NoAudio):
        list(log.recorded(Pipe(None), start=0).blocks())
