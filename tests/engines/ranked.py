"""What the processes of `test_finetune_ranks` do; each says what it has found in a file.

ranked.py ACT FOLDER            one of the processes that torchrun has started
ranked.py ACT FOLDER PORT       two processes, forked once what they need is imported
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

from speechkit.engines.finetune import ranks as module
from speechkit.engines.finetune.protocol import TrainerOptions, TrainingExample
from speechkit.engines.finetune.ranks import Ranks
from speechkit.errors import SpeechkitError
from speechkit.runtime.stopping import StopRequest

MEETING = timedelta(seconds=3)
#: With buckets of 8 values: two together, one whose values are not in a row, one larger than a
#: bucket, and one in half precision.
SHAPES = [(3,), (2, 2), (4, 3), (5, 4), (6,)]


def gradients(rank: int) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(rank)
    made = [torch.randn(shape, generator=chance) for shape in SHAPES]
    return [*made[:2], made[2].T, made[3], made[4].bfloat16()]


def sums(ranks: Ranks, out: Path) -> None:
    module.BUCKET = 8
    mine = gradients(ranks.rank)
    ranks.sum_gradients(mine)
    found = {
        "sum": ranks.sum(ranks.rank + 1, 0.5),
        "any": [ranks.any(ranks.rank == 1), ranks.any(False)],
        "gather": ranks.gather({"rank": ranks.rank, "word": "é" * ranks.rank}),
        "share": ranks.share(["first"] if ranks.rank == 0 else None),
        "gradients": [gradient.double().tolist() for gradient in mine],
    }
    if ranks.rank == 0:
        time.sleep(1.5 * MEETING.total_seconds())
    ranks.wait()
    (out / f"{ranks.rank}.json").write_text(json.dumps(found))


def train(ranks: Ranks, out: Path) -> None:
    """Two steps of which each rank has every ``size``-th example."""
    from speechkit.engines.finetune.whisper.trainer import WhisperTrainer

    torch.set_num_threads(1)
    options = TrainerOptions(model=out / "model", device="cpu", context=2.0, batch_size=4)
    trainer = WhisperTrainer(options, ranks)
    chance = np.random.default_rng(0)
    for step in range(2):
        examples = [
            TrainingExample(
                chance.normal(0, 0.1, 16_000 + 1000 * number).astype(np.float32),
                (*map(int, chance.integers(0, 50_000, 3 + number)), 50256),
                seed=number,
            )
            for number in range(5)
        ]
        trainer.step(examples[ranks.rank :: ranks.size], 1e-2, seed=step)
    folder = out / f"trained-{ranks.rank}-of-{ranks.size}"
    folder.mkdir()
    trainer.save_state(folder)


def stop(ranks: Ranks, out: Path) -> None:
    """The first is stopped while it computes alone, the other waits for it."""
    if ranks.rank == 0:
        signal.raise_signal(signal.SIGUSR1)
        time.sleep(60)
    ranks.wait()


def die(ranks: Ranks, out: Path) -> None:
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, which may come first
    ranks.wait()


ACTS: dict[str, tuple[Callable[[Ranks, Path], None], ...]] = {
    "sums-then-die": (sums, die),
    "train-then-stop": (train, stop),
}


def act(name: str, out: Path) -> int:
    rank = int(os.environ["RANK"])
    (out / f"{rank}.here").touch()
    while not (out / f"{1 - rank}.here").exists():  # so that they come within the time to meet
        time.sleep(0.01)
    try:
        with StopRequest(signals=True), Ranks.of_environment(meeting=MEETING) as ranks:
            for part in ACTS[name]:
                part(ranks, out)
    except SpeechkitError as e:
        (out / f"{rank}.error").write_text(f"{type(e).__name__}: {e}")
        return e.exit_code
    return 0


def forked(name: str, out: Path, port: str) -> int:
    import transformers  # noqa: F401

    import speechkit.engines.finetune.whisper.trainer  # noqa: F401

    os.environ.update(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    children = []
    for rank in range(2):
        child = os.fork()
        if not child:
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
            code = 1
            try:
                code = act(name, out)
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    for variable in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        del os.environ[variable]
    train(Ranks(), out)
    (out / "codes.json").write_text(json.dumps(codes))
    return 0


if __name__ == "__main__":
    _, name, folder, *port = sys.argv
    sys.exit(forked(name, Path(folder), *port) if port else act(name, Path(folder)))
