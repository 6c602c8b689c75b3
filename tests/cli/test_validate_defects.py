"""Each defect planted alone in good speech is found by `validate`, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

import validate_confusion
from audiokit import EXAMPLES
from datakit import DATA

GOOD = (EXAMPLES / "awb" / "train.flac", DATA / "asr" / "2412-153948-0000.flac")


@pytest.mark.slow
def test_the_confusion_table(tmp_path: Path) -> None:
    rows = validate_confusion.confusion([path for path in GOOD if path.exists()], tmp_path)
    assert len({row.defect.finding for row in rows} - {""}) >= 20
    assert all(row.is_right for row in rows), f"\n{validate_confusion.table(rows)}"
