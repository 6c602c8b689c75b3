"""Requests to stop: what is said of a second signal."""

from __future__ import annotations

import os
import signal

import pytest

from speechkit.errors import Drained
from speechkit.runtime import stopping
from speechkit.runtime.stopping import GO_ON, StopRequest


@pytest.mark.parametrize("twice", [GO_ON, "the rest is lost"])
def test_a_second_signal_says_how_it_goes_on(monkeypatch: pytest.MonkeyPatch, twice: str) -> None:
    monkeypatch.setattr(stopping, "_ECHO", 0.0)
    before = {number: signal.getsignal(number) for number in stopping.DRAIN_SIGNALS}
    try:
        with StopRequest(signals=True) as stop, stop.gently(twice=twice):
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.is_set
            with pytest.raises(Drained, match=f"^stopped by a signal; {twice}$"):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
