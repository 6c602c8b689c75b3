"""Pages of HTML in a real browser that has no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from chromiumkit import Chromium, chromium
from speechkit.io.audio import load
from speechkit.reports.html.charts import Mark, Series, time_line
from speechkit.reports.html.page import section, write_page

RATE = 16_000
HOSTILE = "</script><script>document.title='taken'</script>\"'&\x1b[31m\u202e\ud800"
SERIES = [(0x24, 0x68, 0xB2), (0xD3, 0x54, 0x00)]  # the first colours of page.css, when light
DARK = (0x64, 0xA5, 0xF0)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory, speechkit: Callable[..., Any], examples: Path
) -> Path:
    """Of speech that is good, clipped, or has a dropout, and none; one file is gone since."""
    folder = tmp_path_factory.mktemp("validated")
    files = sorted(examples.glob("*/*.flac"))
    sounds = [load(str(path), sample_rate=RATE).waveform.copy() for path in files[:3]]
    clipped, dropped = sounds[1], sounds[2]
    top = np.abs(clipped[RATE : 2 * RATE]).max() / 3
    clipped[RATE : 2 * RATE] = clipped[RATE : 2 * RATE].clip(-top, top)
    loud = RATE + int(np.abs(dropped[RATE : 2 * RATE]).argmax())
    dropped[loud : loud + 160] = 0
    lines = []
    for name, sound in (
        ("good", sounds[0]),
        (f"clipped {HOSTILE}", clipped),
        ("dropped", dropped),
        ("silent", np.zeros(2 * RATE)),
        ("noisy", np.random.default_rng(0).normal(0, 0.1, 2 * RATE)),
    ):
        path = folder / f"{len(lines)}.wav"
        soundfile.write(path, sound, RATE)
        lines.append(json.dumps({"id": name, "audio_filepath": path.name}))
    (folder / "m.jsonl").write_text("\n".join(lines))
    arguments = ("validate", "m.jsonl", "-o", "v.jsonl", "--report", "r.html")
    speechkit(*arguments, cwd=folder, code=3)
    (folder / "3.wav").unlink()
    speechkit(*arguments, cwd=folder, code=3)  # nothing is left to do but the page
    return folder / "r.html"


def share(pixels: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels.astype(int) - colour).max(axis=-1) <= 8).mean())


def shown(browser: Chromium, selector: str) -> list[str]:
    """The texts of those elements that are visible."""
    found: list[str] = browser.evaluate(
        f"[...document.querySelectorAll({json.dumps(selector)})]"
        ".filter(one => one.checkVisibility()).map(one => one.textContent)"
    )
    return found


def after_hash(browser: Chromium, hash_: str) -> None:
    browser.evaluate(
        "new Promise(done => {addEventListener('hashchange', done, {once: true});"
        f"location.hash = {json.dumps(hash_)}}}).then(() => null)"
    )


def test_a_validation_can_be_seen_heard_and_filtered(browser: Chromium, report: Path) -> None:
    browser.open(report)
    assert browser.evaluate("document.title") == "Validation of 5 utterances"
    assert len(shown(browser, "#flagged tbody tr")) == 4

    plot = browser.picture("#measures svg.plot")
    assert share(plot, SERIES[0]) > 0.02, "the bars of a histogram"
    assert share(browser.picture("#findings svg"), SERIES[0]) > 0.5, "the longest bar"
    picture = browser.picture("[data-finding=clipped] image")
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 12, "a spectrogram in its colours"
    mark = browser.evaluate("document.querySelector('[data-finding=clipped] .mark').textContent")
    assert 1.0 <= float(mark.split()[-2]) < 2.0, "the second that is clipped"
    seconds = browser.evaluate(
        "new Promise((done, fail) => {"
        "const one = document.querySelector('[data-finding=clipped] audio');"
        "one.onloadedmetadata = () => done(one.duration); one.onerror = fail; one.load()})"
    )
    assert 2.9 < seconds < 3.2, "sound that can be played"
    assert "can't be heard" in shown(browser, "[data-finding=mostly_silence]")[0]

    after_hash(browser, "#issue=clipped")
    (row,) = shown(browser, "#flagged tbody tr")
    assert row.startswith("clipped </script><script>")
    assert r"\x1b[31m\u202e\ud800" in row
    assert shown(browser, "#worst h3") == ["clipped: peaks are cut off, at full scale or below "]
    browser.evaluate(
        "document.forms[0].elements.issue.value = '', document.forms[0].elements.search"
        ".value = 'DROP', document.forms[0].dispatchEvent(new Event('input')), null"
    )
    (row,) = shown(browser, "#flagged tbody tr")
    assert row.startswith("dropped")
    assert browser.evaluate("location.hash") == "#search=DROP"
    after_hash(browser, "#")

    browser.evaluate("document.querySelectorAll('#flagged th button')[1].click()")
    lengths = browser.evaluate(
        "[...document.querySelectorAll('#flagged tbody td:nth-child(2)')]"
        ".map(cell => Number(cell.dataset.value))"
    )
    assert lengths == sorted(lengths)
    assert (browser.complaints, browser.requests) == ([], [])


def test_lines_over_time_are_drawn(browser: Chromium, tmp_path: Path) -> None:
    busy = Series("busy", [(t, None if 40 <= t < 60 else 0.5) for t in range(100)])
    many = Series("many", [(t / 100, t / 10_000) for t in range(10_000)])
    chart = time_line("Work", [busy, many], marks=[Mark(50.0, "paused")])
    write_page(tmp_path / "p.html", HOSTILE, [section(HOSTILE, chart)])
    browser.open(tmp_path / "p.html")
    assert browser.evaluate("document.title").startswith("</script><script>document")
    picture = browser.picture("svg.plot")
    assert [share(picture, colour) > 0.002 for colour in SERIES] == [True, True]
    left, right = (
        browser.evaluate(f"document.querySelector('path').getBBox().{side}")
        for side in ("x", "width")
    )
    middle = (left + right / 2) / 720
    width = picture.shape[1]
    gap = picture[:, int((middle - 0.06) * width) : int((middle + 0.06) * width)]
    assert share(gap, SERIES[0]) == 0, "the line has a gap"
    assert share(gap, SERIES[1]) > 0
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.send("Emulation.setEmulatedMedia", features=dark)
    assert share(browser.picture("svg.plot"), DARK) > 0.002
    browser.send("Emulation.setEmulatedMedia", features=[])
    assert (browser.complaints, browser.requests) == ([], [])


def test_a_page_opens_no_connection(browser: Chromium, tmp_path: Path) -> None:
    """What no page of ours holds: its policy forbids it all the same."""
    write_page(tmp_path / "p.html", "Page", [])
    text = (tmp_path / "p.html").read_text()
    foreign = "<img src='https://example.com/a.png'><script>document.title = 'taken'</script>"
    (tmp_path / "p.html").write_text(text.replace("</main>", f"{foreign}</main>"))
    browser.open(tmp_path / "p.html")
    assert browser.evaluate("document.title") == "Page"
    browser.evaluate("fetch('https://example.com/').catch(() => null).then(() => null)")
    blocked = [event["params"]["entry"]["text"] for event in browser.complaints]
    for directive in ("img-src data:", "script-src 'sha256", "default-src 'none'"):
        assert any(directive in text for text in blocked), blocked


def metrics(path: Path, start: float, code: int | None) -> None:
    """A run of 40 s of two workers, whose memory grows; without an exit code it was killed."""
    lines: list[dict[str, object]] = [
        {"event": "run", "metrics": 1, "time": start, "stage": "asr", "output": f"/o/{path.stem}"}
    ]
    for second in range(1, 41):
        workers = [{"worker": one, "rss": second * 5e6, "cpu": 1} for one in (1, 2)]
        sample = {"elapsed": second, "done": second, "done_now": 1, "audio_seconds_now": 9}
        lines.append({"event": "sample", **sample, "rss": 6e7, "workers": workers})
        trace = {"name": HOSTILE, "worker": 1, "wall": 1, "compute": 0.9, "queue": 0.1, "busy": 0.5}
        error = "AudioEmpty" if second % 4 == 0 else None
        lines.append({"event": "trace", "time": start + second, **trace, "error": error})
    if code is not None:
        lines.append({"event": "end", "elapsed": 40, "exit_code": code})
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_a_run_can_be_seen(
    browser: Chromium, tmp_path: Path, speechkit: Callable[..., Any]
) -> None:
    metrics(tmp_path / "one.jsonl", 1.7e9, None)
    metrics(tmp_path / "one.jsonl", 1.7e9 + 60, 0)
    metrics(tmp_path / "two.jsonl", 1.7e9 + 5, 0)
    speechkit("report", ".", cwd=tmp_path)
    browser.open(tmp_path / "report.html")
    assert browser.evaluate("document.title") == "Run of speechkit asr"
    assert shown(browser, ".tasks .row") == ["oneone", "twotwo"]  # with their full names
    bars = browser.picture(".tasks")
    killed, finished = SERIES[1], (0x1B, 0x8A, 0x5A)
    assert share(bars, killed) > 0.03
    assert share(bars, finished) > 0.08
    charts = browser.evaluate(
        "[...document.querySelectorAll('figure.chart')].map(one => "
        "[one.querySelector('figcaption').textContent, one.querySelectorAll('path').length])"
    )
    assert [lines for _, lines in charts] == [1, 1, 2, 1, 2, 1, 0]
    memory = browser.picture("section:nth-of-type(2) svg.plot")
    assert share(memory, SERIES[0]) > 0.003, "the line of the workers"
    assert share(memory, SERIES[1]) > 0.003, "the line of the runner"
    assert browser.evaluate("document.querySelectorAll('.mark').length") > 1, "of the kill"
    assert "AudioEmpty" in shown(browser, ".bars th")
    assert browser.complaints == []
    assert browser.requests == []
