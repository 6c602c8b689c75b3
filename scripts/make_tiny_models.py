#!/usr/bin/env python3
"""Makes tiny real models, some of them trained on spoken digits, for tests and benchmarks.

A model that is there already, made by the same code of the same recordings, is kept.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    models = parser.add_subparsers(dest="model", required=True, metavar="MODEL")
    nemo = models.add_parser("nemo", help="a CTC and a transducer model of NeMo")
    s2s = models.add_parser("s2s", help="HuBERT, k-means and unit HiFi-GANs as of 2021, untrained")
    for model in (nemo, s2s):
        model.add_argument("--output-dir", type=Path, default=ROOT / ".cache" / "tiny-models")
        model.add_argument(
            "--data",
            type=Path,
            default=ROOT / ".." / "shared" / "data",
            help="folder with digits/ and noise/; without it examples/digits serves",
        )
    options = parser.parse_args()

    import_module(f"tiny_models.{options.model}").make(options.output_dir, options.data)


if __name__ == "__main__":
    main()
