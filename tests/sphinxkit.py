"""A PocketSphinx of the hundred words of the examples: real recognition in a tenth of the time, for
what is asked of any engine."""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from pathlib import Path

from audiokit import EXAMPLES
from oncekit import once

VARIANT = re.compile(r"\(\d+\)$")  # "the(2)" is the second pronunciation of "the"


def _make(folder: Path) -> None:
    spec = find_spec("pocketsphinx")
    assert spec
    assert spec.origin
    own = Path(spec.origin).with_name("model") / "en-us"
    (folder / "en-us").symlink_to(own / "en-us")
    said = " ".join(path.read_text().lower() for path in EXAMPLES.rglob("*.txt"))
    words = {*re.findall(r"[a-z']+", said)}
    lines = (own / "cmudict-en-us.dict").read_text().splitlines(keepends=True)
    spoken = [line for line in lines if VARIANT.sub("", line.split()[0]) in words]
    (folder / "words.dict").write_text("".join(spoken))
    (folder / "words.lm.bin").write_text(_language_model(sorted(words)))


def _language_model(words: list[str]) -> str:
    """In ARPA's format: every word is as likely as the others."""
    chance = f"{-math.log10(len(words) + 1):.4f}"
    single = "".join(f"{chance} {word} 0\n" for word in [*words, "</s>"])
    return (
        f"\\data\\\nngram 1={len(words) + 2}\nngram 2=1\n\n\\1-grams:\n-99 <s> 0\n{single}\n"
        f"\\2-grams:\n{chance} <s> {words[0]}\n\n\\end\\\n"
    )


QUICK = ("--engine", "pocketsphinx", "--model", str(once("sphinx", _make)))  # options of asr
