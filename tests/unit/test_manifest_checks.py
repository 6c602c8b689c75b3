"""One judge for every stage: what any of them would fail on, the first one refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import ManifestError, ResultTooLong
from speechkit.io import audio, manifest
from speechkit.io.audio_survey import AudioSurvey
from speechkit.io.inputs import Inputs
from speechkit.io.manifest_checks import fault, lacks_nothing
from speechkit.io.unit_files import UnitInputs
from speechkit.records import Hypothesis, Record, Segment, Utterance, Word
from speechkit.runtime import messages
from speechkit.runtime.export import Results
from speechkit.runtime.recordings import all_recordings, recordings, tree_of
from speechkit.scoring.score import score
from speechkit.splitting.merge import merge_results
from speechkit.splitting.merge_inputs import MergeOptions
from speechkit.splitting.split import SplitOptions, split_manifest
from speechkit.stages.asr.part_results import OutputDetail, joined, part_result
from speechkit.stages.asr.recognition import Attempt, Recognition
from speechkit.stages.asr.recording_parts import RecordingFacts
from speechkit.stages.asr.windows import Span, Window, united

SPAN: Record = {"start": 0, "end": 1.5}
WORD: Record = {**SPAN, "word": "a"}
#: What every stage takes.
LINE: Record = {"audio_filepath": "/a.wav", "text": "a", "pred_text": "a", "units": [1, 2]}


def scan(source: str) -> None:
    with Inputs([source]) as inputs:
        inputs.scan()


def scan_units(source: str) -> None:
    with UnitInputs([source]) as inputs:
        inputs.scan()


def split(source: str) -> None:
    split_manifest(SplitOptions(source, 2, str(Path(source).parent / "splits")))


def merge(source: str) -> None:
    results = Path(source).with_name("results.jsonl")
    results.write_text(json.dumps(LINE) + "\n")
    merge_results(
        MergeOptions(str(results), str(results.with_name("merged.jsonl")), manifest=source)
    )


def rate(source: str) -> None:
    score(manifest.read_input(source, lacks_nothing))


def export(source: str) -> None:
    with Results(source, []) as inputs:
        all_recordings(inputs)


READERS = (scan, scan_units, split, merge, rate, export)


def write(folder: Path, *lines: object) -> str:
    path = folder / "m.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"text": 7}, '"text" must be a string, found 7: write it in quotes, "7"'),
        ({"text": ["a"]}, '"text" must be a string, found ["a"]'),
        ({"pred_text": 1.5}, '"pred_text" must be a string, found 1.5'),
        ({"lang": 3}, '"lang" must be a string'),
        ({"audio_filepath": "\ud800"}, '"audio_filepath" must be the path of a file'),
        ({"offset": True}, '"offset" must be seconds from 0 up, found true'),
        ({"duration": "3"}, '"duration" must be seconds from 0 up, found "3"'),
        ({"id": ""}, '"id" must be a string that is not empty, or a number, found ""'),
        ({"id": [1]}, '"id" must be a string that is not empty, or a number, found [1]'),
        ({"segments": 3}, '"segments" must be a list of objects, found 3'),
        ({"segments": [SPAN, 3]}, "item 2 is a number"),
        ({"segments": [{"start": True, "end": 1}]}, "item 1 goes from true to 1"),
        ({"segments": [{"start": 0}]}, "item 1 goes from 0 to null"),
        ({"segments": [{"start": 0, "end": 10**400}]}, "item 1 goes from 0 to 1000"),
        ({"segments": [{"start": 2, "end": 3}, SPAN]}, "item 2 begins before the one in front"),
        ({"segments": [{**SPAN, "text": 3}]}, 'item 1 has a "text" that must be a string'),
        ({"segments": [{**SPAN, "words": 3}]}, 'item 1 has "words" that must be a list'),
        ({"segments": [{**SPAN, "words": ["a"]}]}, "word 1 is a string"),
        ({"segments": [{**SPAN, "words": [SPAN]}]}, 'word 1 has no string as its "word", but null'),
        ({"segments": [{**SPAN, "words": [{"word": "a"}]}]}, "word 1 goes from null to null"),
        (
            {"segments": [{**SPAN, "words": [{**WORD, "confidence": "high"}]}]},
            'word 1 has no number as its "confidence", but "high"',
        ),
        ({"units": "words"}, '"units" must be a list of numbers from 0 up, found "words"'),
        ({"units": [1.0]}, '"units" must be a list of numbers from 0 up'),
        ({"unit_durations": [1, 0]}, '"unit_durations" must be a list of frames from 1 up'),
        ({"unit_durations": [1]}, '"unit_durations" must be one a unit: 2 units, 1 of them'),
        ({"unit_durations": [1, 1 << 30]}, '"unit_durations" come to 1073741825 frames'),
    ],
)
def test_no_stage_takes_what_another_fails_on(
    tmp_path: Path, read: Callable[[str], None], keys: Record, sentence: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        read(write(tmp_path, LINE, {**LINE, **keys}))
    assert str(caught.value).startswith(f"{tmp_path}/m.jsonl, line 2: ")
    assert sentence in str(caught.value)
    assert not (tmp_path / "splits").exists()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "keys",
    [
        *({key: None} for key in ("text", "lang", "id", "offset", "duration", "segments")),
        *({"unit_durations": None}, {"error": None}, {"flags": None}, {"gaps": None}),
        *({"id": 7}, {"id": 7.5}, {"parent": 3}, {"offset": 1}, {"duration": 0}),
        *({"flags": 7}, {"flags": ["low_coverage"], "gaps": [{"start": 0.5, "end": 10**400}]}),
        *({"words": 12}, {"chars": 3}, {"speech_duration": "long"}, {"frame_probabilities": 1}),
        *({"error": "a word"}, {"error": {"type": 3}}, {"units": [], "unit_durations": []}),
        {"segments": [{**SPAN, "words": None, "text": None}, {**SPAN, "flags": 3, "chars": 1}]},
        {"segments": [{**SPAN, "words": [{**WORD, "confidence": None}], "confidence": "x"}]},
        {"pred_text": "half of a character: \ud83d", "text": "\ud83d"},
        {"unknown": {"a": [None, True, 10**40, "\ud800"]}},
    ],
)
def test_what_every_stage_can_do_with_or_without_passes(
    tmp_path: Path, read: Callable[[str], None], keys: Record
) -> None:
    line = {**LINE, **keys}
    path = write(tmp_path, LINE, line)
    read(path)
    assert list(manifest.read_records(path)) == [LINE, line]


@pytest.mark.parametrize("read", READERS)
def test_all_malformed_lines_are_named_at_once(tmp_path: Path, read: Callable[[str], None]) -> None:
    path = write(tmp_path, *[LINE, {**LINE, "text": 7}, 3] * 15)
    with pytest.raises(ManifestError) as caught:
        read(path)
    named = str(caught.value).splitlines()
    assert len(named) == 21
    assert named[:2] == [
        f'{path}, line 2: "text" must be a string, found 7: write it in quotes, "7"',
        f"{path}, line 3: expected a JSON object, found a number",
    ]
    assert named[-1] == "… and 10 more malformed lines"


def test_those_of_several_manifests_are_named_together(tmp_path: Path) -> None:
    one, other = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    one.write_text('{"audio_filepath": "/a"}\n{broken\n')
    other.write_text('[{"audio_filepath": "/a"}, 3, {"offset": 0},]')
    with Inputs([str(one), str(other)]) as inputs, pytest.raises(ManifestError) as caught:
        inputs.scan()
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        *(f"{one}, line 2", f"{other}, item 2", f"{other}, item 3", f"{other}, item 4")
    ]


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    path = write(tmp_path, LINE, LINE, 3)
    with Inputs([path], limit=2) as inputs:
        assert inputs.scan().count == 2
    with Inputs([path], limit=3) as inputs, pytest.raises(ManifestError, match="line 3"):
        inputs.scan()


def test_the_text_of_units_is_judged_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "u.txt"
    path.write_text("a|1 2\nb|x\n\n3 4\nc|y\n")
    with UnitInputs([str(path)]) as inputs, pytest.raises(ManifestError) as caught:
        inputs.scan()
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{path}, line 2",
        f"{path}, line 5",
    ]


TIMES = st.floats(0, 10)
WORDS = st.builds(Word, st.sampled_from(["a", "b."]), TIMES, TIMES, st.none() | st.floats(-9, 9))
HEARD = st.builds(Segment, TIMES, TIMES, st.just("a b."), st.lists(WORDS, max_size=4).map(tuple))
SPANS = st.lists(st.tuples(TIMES, TIMES), max_size=4)


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> audio.Audio:
    file = tmp_path_factory.mktemp("silence") / "a.wav"
    soundfile.write(file, np.zeros(10 * SAMPLE_RATE), SAMPLE_RATE)
    return audio.load(str(file), sample_rate=SAMPLE_RATE)


@given(st.lists(HEARD, max_size=4), SPANS, st.none() | SPANS, st.sampled_from([0.0, 2.5]))
def test_asr_writes_what_it_takes_whatever_an_engine_has_heard(
    silence: audio.Audio,
    heard: list[Segment],
    judged: list[Span],
    told: list[Span] | None,
    offset: float,
) -> None:
    recognition = Recognition(silence.waveform, told, united(judged, 10.0))
    recognition.take(Attempt(Window(((0.0, 10.0),))), Hypothesis(tuple(heard)))
    recognition.take(Attempt(Window(((2.0, 6.0),)), (2.0, 6.0)), Hypothesis(tuple(heard)))
    result = part_result(recognition, offset, OutputDetail(words=True, chars=True, languages=False))
    utterance = Utterance(0, "/a.wav", offset, record={"audio_filepath": "/a.wav"})
    line = joined(utterance, RecordingFacts.of(silence), [result])
    assert fault(line) is None
    recordings([line], tree_of(AudioSurvey("", alike=False, apart=False)))


def test_no_stage_writes_a_line_that_is_too_long_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MOST_BYTES", 3 << 20)
    utterance = Utterance(0, "/a.wav")
    assert messages.success_outcome(utterance, [{"x": "y" * ((3 << 20) - 9)}], 1.0).error is None
    with pytest.raises(ResultTooLong, match="its line would have 4 MiB, and stages read"):
        messages.success_outcome(utterance, [{}, {"x": "\u00fc" * (2 << 20)}], 1.0)
