"""The page of a server in a real browser: recordings, transcripts and live speech.

``--screenshots FOLDER`` keeps the pictures for docs/serve.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import loudness
from chromiumkit import Chromium, chromium, quoted
from runkit import until
from serverkit import Served

RATE = 16_000
SLOW = {"LOUDNESS_SECONDS": "1.5"}
REAL = "faster-whisper/base"
HOSTILE = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"
LISTED = "document.querySelector('#jobs .state')?.textContent"
STATE = "document.querySelector('#job .facts').textContent"
TEXTS = "[...document.querySelectorAll('.text')].map(one => one.textContent).join(' ')"
FOCUS = "document.activeElement"

Picture = Callable[[str, int], None]

pytestmark = pytest.mark.slow


def joined(files: Iterable[Path]) -> np.ndarray:
    return np.concatenate([soundfile.read(file)[0] for file in files])


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """Three sentences, of three speakers."""
    path = tmp_path_factory.mktemp("talk") / "Meeting on Monday.wav"
    names = ("slt/story.flac", "espeak-f2/question.flac", "rms/doctor.flac")
    soundfile.write(path, joined(examples / name for name in names), RATE)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Its default engine needs no time to load, and a while for each recording."""
    environment = {**loudness.declared(tmp_path_factory.mktemp("site")), **SLOW}
    data = tmp_path_factory.mktemp("served") / "data"
    with Served(data, "--engine", "loudness", environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Iterator[Chromium]:
    """Somebody speaks into its microphone."""
    speech = tmp_path_factory.mktemp("speech") / "speech.wav"
    names = ("slt/coffee.flac", "rms/bridge.flac", "awb/train.flac")
    soundfile.write(speech, joined(examples / name for name in names), RATE)
    microphone = (
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={speech}",
    )
    with chromium(tmp_path_factory.mktemp("chromium"), *microphone, "--lang=en-GB") as started:
        yield started


@pytest.fixture(scope="module")
def picture(pytestconfig: pytest.Config, browser: Chromium) -> Picture:
    """Keeps a screenshot of so many pixels in height, if they are wanted."""
    folder = pytestconfig.getoption("screenshots")

    def take(name: str, height: int) -> None:
        if folder:
            browser.size(1000, height)
            browser.screenshot(Path(folder) / f"serve-{name}.png")

    return take


def upload(browser: Chromium, served: Served, *files: Path, model: str = "loudness") -> None:
    browser.open(served.url, 1000, 800)
    browser.until("document.querySelector('#new select').value")
    browser.evaluate(f"document.querySelector('#new select').value = {quoted(model)}")
    browser.choose("#new input[type=file]", *files)
    browser.until("!document.querySelector('#new button.main').disabled")
    browser.click("#new button.main")
    browser.until("location.hash.startsWith('#job=')")


def open_any(browser: Chromium, served: Served) -> None:
    """A page, for what only needs its scripts."""
    if not browser.evaluate("location.href").startswith(served.url):
        browser.open(served.url)


def focused(browser: Chromium) -> str:
    text: str = browser.evaluate(f"{FOCUS}.innerText")
    return text


def test_from_a_recording_to_a_corrected_manifest(
    browser: Chromium, served: Served, talk: Path, picture: Picture
) -> None:
    upload(browser, served, talk, model=REAL)
    browser.until(f"{STATE}.startsWith('Done')")
    assert "story about the old man" in browser.until(TEXTS)
    assert browser.evaluate("document.querySelector('h1:not([hidden] *)').textContent") == talk.name
    word = browser.evaluate(
        "(([...words]) => {const one = words.find(word => word.textContent.startsWith('doctor'));"
        "one.id = 'chosen'; return Number(one.dataset.start)})(document.querySelectorAll('.word'))"
    )
    browser.click("#chosen")
    browser.until("!document.querySelector('audio').paused")
    browser.until("document.querySelector('.word.playing')")
    heard = browser.evaluate("document.querySelector('audio').currentTime")
    assert word <= heard < word + 3
    browser.evaluate("document.querySelector('audio').pause()")

    browser.press("e")
    written = browser.evaluate(f"{FOCUS}.value")
    assert "doctor" in written
    browser.evaluate(f"{FOCUS}.select()")
    corrected = written.replace("doctor", "physician")
    browser.write(corrected)
    browser.press("Enter")
    assert browser.until("document.querySelector('.corrected ins')?.textContent") == "physician"
    assert corrected.startswith(focused(browser)), "the focus is where it was"
    browser.press("n")
    picture("transcript", 470)

    browser.reload()
    assert browser.until("document.querySelector('.history del')?.textContent") == written
    line = json.loads(browser.evaluate(fetched("[href$='corrected.jsonl']")))
    assert corrected in line["text"]
    assert written in line["pred_text"]
    assert "physician" in browser.evaluate(fetched("[href$='.srt']"))
    formats = browser.evaluate("document.querySelectorAll('.downloads a').length")
    assert formats == len(served.client.get("api/settings").json()["formats"]) + 2


def fetched(link: str) -> str:
    """What a link gives, in JavaScript."""
    return f"fetch(document.querySelector({quoted(link)}).href).then(one => one.text())"


def test_a_second_recording_needs_no_loading(
    browser: Chromium, served: Served, examples: Path, picture: Picture
) -> None:
    def workers() -> Any:
        loaded = served.client.get("health").json()["models"]
        return [one["pids"] for one in loaded if one["model"] == REAL]

    before = workers()
    assert before
    upload(browser, served, examples / "slt" / "coffee.flac", model=REAL)
    browser.until(f"{STATE}.startsWith('Done')")
    assert "coffee" in browser.until(TEXTS)
    assert workers() == before
    browser.evaluate("location.hash = ''; null")
    browser.choose("#new input[type=file]", *sorted(examples.glob("kal16/*.flac")))
    browser.until("document.querySelectorAll('.chosen li').length === 3")
    picture("recordings", 860)


def test_a_reload_in_the_middle(browser: Chromium, served: Served, examples: Path) -> None:
    """The transcript of the first file is there while the second is being transcribed."""
    upload(browser, served, *sorted(examples.glob("rms/*.flac")))
    browser.until(TEXTS)
    assert browser.evaluate(STATE).startswith("Transcribing")
    browser.reload()
    text = browser.until(TEXTS)
    assert browser.evaluate(STATE).startswith("Transcribing")
    progress = browser.evaluate("document.querySelector('#job-progress').textContent")
    assert " of 0:" in progress
    assert "%)" in progress
    browser.evaluate("location.hash = ''; null")
    browser.until(f"{LISTED}.startsWith('Transcribing: 0:')")
    browser.evaluate("history.back()")
    browser.until(f"{STATE}.startsWith('Done')")
    browser.until(f"{TEXTS} === {quoted(text)}")
    browser.evaluate("location.hash += '&file=3'; null")
    browser.until(f"{TEXTS} && {TEXTS} !== {quoted(text)}")
    assert browser.evaluate("document.querySelector('.files [aria-current]').textContent") == (
        "music.flac"
    )


def test_doubts_are_toured_by_keys(browser: Chromium) -> None:
    """Those of the transcript that the test before has opened."""
    browser.reload()
    browser.until(TEXTS)
    count = int(browser.evaluate("document.querySelector('.tour .count').textContent").split()[0])
    assert count > 2
    stations = []
    for _ in range(count):
        browser.press("n")
        stations.append(browser.evaluate(f"{FOCUS}.dataset.doubt"))
    assert all("% sure" in one for one in stations)
    starts = browser.evaluate(
        "[...document.querySelectorAll('[data-doubt]')].map(one => one.dataset.doubt)"
    )
    assert stations == starts
    browser.press("p")
    assert browser.evaluate(f"{FOCUS}.dataset.doubt") == stations[-2]
    said = browser.evaluate("document.querySelector('[role=status]').textContent")
    assert said.startswith(f"Doubt {count - 1} of {count}, at 0:0")
    browser.press("ArrowRight")
    browser.press("ArrowLeft")
    browser.press("Enter")
    start = browser.evaluate(f"Number({FOCUS}.dataset.start)")
    browser.until("!document.querySelector('audio').paused")
    assert browser.evaluate("document.querySelector('audio').currentTime") >= start


def test_hostile_names_and_texts(
    browser: Chromium, served: Served, examples: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"{HOSTILE.replace('/', '')}.flac"
    file.write_bytes((examples / "rms" / "music.flac").read_bytes())
    upload(browser, served, file)
    browser.until("document.querySelector('.editable .word')")
    browser.evaluate("document.querySelector('.word').focus()")
    browser.press("e")
    browser.evaluate(f"{FOCUS}.select()")
    browser.write(HOSTILE)
    browser.press("Enter")
    browser.until("document.querySelector('.corrected')")
    browser.reload()
    assert browser.until(TEXTS) == HOSTILE
    assert browser.evaluate("document.querySelector('#job h1').textContent") == file.name
    browser.evaluate("location.hash = ''; null")
    assert browser.until("document.querySelector('#jobs .name')?.textContent") == file.name
    assert browser.evaluate("document.title") == "speechkit"
    assert browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert not browser.complaints


def test_live_speech(
    browser: Chromium,
    served: Served,
    tmp_path: Path,
    picture: Picture,
    pytestconfig: pytest.Config,
) -> None:
    model = REAL if pytestconfig.getoption("screenshots") else "loudness"
    browser.open(f"{served.url}#live", 1000, 700)
    browser.until("document.querySelector('#live select')?.value")
    browser.evaluate(f"document.querySelector('#live select').value = {quoted(model)}")
    microphone = {"name": "microphone"}
    browser.send("Browser.setPermission", permission=microphone, setting="denied")
    browser.click("#live button.main")
    trouble = browser.until("document.querySelector('#trouble').textContent")
    assert trouble.startswith("The microphone was denied.")
    browser.send("Browser.setPermission", permission=microphone, setting="granted")
    browser.click("#live button.main")
    browser.until("document.querySelector('.finals').textContent")
    browser.until("document.querySelector('.partial').textContent")
    picture("live", 520)
    browser.click("#live button.main")
    browser.until("document.querySelector('#live .status').textContent === ''")
    assert browser.evaluate("document.querySelector('#trouble').hidden")
    text = browser.evaluate("document.querySelector('.finals').innerText")
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.click("#live .save")
    saved = until(lambda: list(tmp_path.glob("live.txt")))[0]
    assert saved.read_text().split() == text.split()


def test_narrow_screens_names_and_contrast(browser: Chromium, served: Served) -> None:
    """The jobs are those of the tests before."""
    browser.open(served.url, 360, 700)
    browser.until("document.querySelector('#jobs a')")
    for view in ("", browser.evaluate("document.querySelector('#jobs a').hash"), "live"):
        browser.evaluate(f"location.hash = {quoted(view)}; null")
        browser.until("!document.querySelector('main section:not([hidden]) h1:empty')")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 360
        tree = browser.send("Accessibility.getFullAXTree")["nodes"]
        unnamed = [
            node
            for node in tree
            if node.get("role", {}).get("value") in {"button", "link", "textbox", "combobox"}
            and not node.get("name", {}).get("value")
        ]
        assert not unnamed
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.send("Emulation.setEmulatedMedia", features=[feature])
        for text, ground in CONTRASTS:
            colours = browser.evaluate(f"[{quoted(text)}, {quoted(ground)}].map({COLOUR})")
            assert contrast(*colours) >= 4.5, (scheme, text, ground)
    browser.send("Emulation.setEmulatedMedia", features=[])


CONTRASTS = [
    *[(text, ground) for text in ("text", "quiet", "accent") for ground in ("back", "panel")],
    *[("text", ground) for ground in ("hover", "unsure", "changed", "playing")],
    *[("quiet", "hover"), ("on-accent", "accent"), ("bad", "bad-back"), ("unsure-line", "back")],
]
COLOUR = (
    "name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)"
    ".trim().slice(1).match(/../g).map(two => parseInt(two, 16))"
)


def contrast(*colours: list[int]) -> float:
    """The ratio of WCAG 2.2, of two colours as red, green and blue in 0..255."""
    bright, dark = sorted(map(luminance, colours), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: list[int]) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (one / 255 for one in colour)
    ]
    return sum(factor * part for factor, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_long_transcript_grows_in_place(browser: Chromium, served: Served) -> None:
    """Of 10,000 words; what is there stays, and so does the focus."""
    open_any(browser, served)
    script = """
    import("/page/transcript.js").then(({ Transcript }) => {
      const list = document.querySelector(".transcript");
      const ten = "one two three four five six seven eight nine ten".split(" ");
      const items = Array.from({ length: 1000 }, (_, number) => ({
        start: 5 * number, end: 5 * number + 4, text: ten.join(" "),
        words: ten.map((word, at) => (
          { word, start: 5 * number + 0.4 * at, end: 5 * number + 0.4 * at + 0.3 })),
      }));
      document.getElementById("job").hidden = false;
      const transcript = new Transcript(list, { play() {}, edit() {} });
      transcript.show(items.slice(1));
      const nodes = [...list.children];
      transcript.words[5000].focus();
      transcript.show(items);
      transcript.mark(2502.5);
      return [
        list.querySelectorAll(".word").length,
        nodes.every((node, at) => node === list.children[at + 1]),
        document.activeElement === transcript.words[5010],
        transcript.playing === transcript.words[5006],
        list.querySelectorAll("[tabindex='0']").length,
      ];
    })
    """
    assert browser.evaluate(script) == [10_000, True, True, True, 1]


def test_a_correction_keeps_the_times_of_other_words(browser: Chromium, served: Served) -> None:
    open_any(browser, served)
    script = """
    import("/page/tokens.js").then(({ tokensOf, correctedTokens }) => {
      const words = ["The", "old", "men", "sat."]
        .map((word, at) => ({ word, start: at, end: at + 0.5 }));
      const tokens = tokensOf({ words, text: "The old men sat.", start: 0, end: 4 });
      return [
        tokens.map(({ before, text }) => before + text).join(""),
        correctedTokens(tokens, "The very old man sat.", 0)
          .map(({ text, start, changed }) => [text, start, changed ?? false]),
        tokensOf({ words: [{ word: "東京" }, { word: "です" }], text: "東京です" })
          .map(({ before }) => before),
      ];
    })
    """
    assert browser.evaluate(script) == [
        "The old men sat.",
        [
            ["The", 0, False],
            ["very", 0.5, True],
            ["old", 1, False],
            ["man", 1.5, True],
            ["sat.", 3, False],
        ],
        ["", ""],
    ]


def test_a_job_is_handed_to_a_cluster(browser: Chromium, served: Served) -> None:
    """What the server answers is made up."""
    open_any(browser, served)
    script = """
    import("/page/cluster.js").then(async ({ Cluster }) => {
      const asked = [];
      window.fetch = async (path, { method }) => {
        asked.push(`${method} ${path}`);
        return new Response('{"text": "1 of 2 files done"}');
      };
      const view = document.getElementById("job").cloneNode(true);
      const job = { id: "a", state: "queued", on_cluster: false, files: [{}, {}] };
      const cluster = new Cluster(view, true, () => cluster.show({ ...job, on_cluster: true }));
      cluster.show(job);
      const wasOffered = !view.querySelector(".cluster").hidden;
      view.querySelector(".cluster").click();
      const status = view.querySelector(".cluster-status");
      for (let turn = 0; turn < 600 && !status.textContent; turn++)
        await new Promise((done) => setTimeout(done, 50));
      cluster.hide();
      return [
        wasOffered, view.querySelector(".cluster").hidden, asked, status.textContent,
      ];
    })
    """
    asked = ["POST /api/jobs/a/slurm", "GET /api/jobs/a/slurm"]
    assert browser.evaluate(script) == [True, True, asked, "1 of 2 files done"]


def test_a_server_that_has_gone(browser: Chromium, served: Served) -> None:
    """The last one: it ends the server."""
    browser.open(served.url, 1000, 800)
    browser.until("document.querySelector('#jobs a')")
    served.kill()
    browser.click("#jobs button.delete")
    assert browser.until("document.querySelector('#trouble').textContent") == (
        "The server can't be reached. Is it still running?"
    )
