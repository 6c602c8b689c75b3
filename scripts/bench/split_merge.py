"""Splits and merges a million records, beside the plain way; seconds and peak memory of each.

    python scripts/bench/split_merge.py [--records 1000000] [--splits 30]

The plain way is `split -n l/N`, and a dictionary of all results written in the manifest's order.
Each step runs in a process of its own; peak memory is that process's. Ends with 1 where a step of
speechkit's takes 30 s or 500 MB, or where the merged file is not what one run would have written.
"""

from __future__ import annotations

import filecmp
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import benchlib

from speechkit.reports.merge import MergeReport
from speechkit.reports.split import SplitReport
from speechkit.splitting.merge import merge_results
from speechkit.splitting.merge_inputs import MergeOptions
from speechkit.splitting.split import SplitOptions, split_manifest

MOST_SECONDS = 30.0
MOST_BYTES = 500e6


def make(path: Path, records: int) -> None:
    chance = random.Random(7)
    with open(path, "w") as file:
        for number in range(records):
            folder = f"/data/corpus/train/{number % 997:04d}/{number // 1000:04d}"
            record = {
                "audio_filepath": f"{folder}/{number:08d}.flac",
                "duration": round(chance.lognormvariate(2, 0.6), 3),
                "sample_rate": 16000,
                "channels": 1,
                "text": " ".join(chance.choices(WORDS, k=20)),
                "lang": "en",
            }
            file.write(json.dumps(record) + "\n")


WORDS = "the of and to a in that he was it his is with as had for you not be her".split()  # noqa: SIM905


def stage(source: Path, target: Path) -> None:
    """What a stage would add to each line."""
    with open(source) as lines, open(target, "w") as out:
        for line in lines:
            record = json.loads(line)
            record["pred_text"] = record["text"].upper()
            out.write(json.dumps(record) + "\n")


def split(data: Path, folder: Path, splits: int) -> None:
    split = split_manifest(SplitOptions(str(data), splits, str(folder)))
    print(SplitReport(split).view(), file=sys.stderr)


def merge(pattern: str, output: Path, folder: Path) -> None:
    summary = merge_results(MergeOptions(pattern, str(output), splits_dir=str(folder)))
    print(MergeReport(summary).view(), file=sys.stderr)


def plain_split(data: Path, folder: Path, splits: int) -> None:
    folder.mkdir()
    command = ["split", "-n", f"l/{splits}", "-d", str(data), str(folder / "data_")]
    os.execvp(command[0], command)


def plain_merge(data: Path, results: Path, output: Path) -> None:
    found = {}
    for path in sorted(results.iterdir()):
        with open(path) as lines:
            for line in lines:
                found[json.loads(line)["audio_filepath"]] = line
    with open(data) as lines, open(output, "w") as out:
        for line in lines:
            out.write(found[json.loads(line)["audio_filepath"]])


def measure(step: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Wall seconds and peak bytes of the step in a new process."""
    start = time.perf_counter()
    process = get_context("spawn").Process(target=step, args=arguments)
    process.start()
    assert process.pid is not None
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{step.__name__} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024.0


def main() -> int:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--splits", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        data, parts, results = here / "data.jsonl", here / "splits", here / "output"
        whole, merged, plainly = here / "whole.jsonl", here / "merged.jsonl", here / "plain.jsonl"
        make(data, options.records)
        stage(data, whole)
        rows = {
            "split -n l/N": measure(plain_split, data, here / "plain", options.splits),
            "split-manifest": measure(split, data, parts, options.splits),
        }
        results.mkdir()
        for path in parts.glob("*_split_*.jsonl"):
            stage(path, results / path.name)
        pattern = str(results / "*_split_*.jsonl")
        rows["dictionary"] = measure(plain_merge, data, results, plainly)
        rows["merge-results"] = measure(merge, pattern, merged, parts)
        same = filecmp.cmp(whole, merged, shallow=False)
    benchlib.heading()
    size = f"{options.records} records, {options.splits} splits"
    print(f"{size}\n{'':16}{'seconds':>9}{'peak MB':>9}{'records/s':>11}")
    for name, (seconds, peak) in rows.items():
        rate = options.records / seconds
        print(f"{name:16}{seconds:9.2f}{peak / 1e6:9.0f}{rate:11.0f}")
    print(f"merged file is {'the same as' if same else 'NOT THAT OF'} an unsplit run's")
    ours = (rows["split-manifest"], rows["merge-results"])
    fits = all(seconds < MOST_SECONDS and peak < MOST_BYTES for seconds, peak in ours)
    return 0 if same and fits else 1


if __name__ == "__main__":
    sys.exit(main())
