"""The help shows commands by purpose, and options by subject and engine."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from speechkit.cli import COMMANDS, app
from speechkit.commands.help import CommandTable, Entry
from speechkit.engines import registry


def sections(text: str) -> dict[str, str]:
    """The lines below each title that stands at the margin."""
    parts = re.split(r"^([A-Z][^\n]*):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def helps(speechkit: Any) -> dict[str, str]:
    commands = ("vad", "asr", "s2s", "embed")
    return {command: speechkit(command, "--help").out.decode() for command in commands}


def test_the_main_help_begins_with_a_pipeline_and_groups_the_commands(speechkit: Any) -> None:
    text = speechkit("--help").out.decode()
    assert "  speechkit vad talks/ | speechkit asr - --format srt" in "\n".join(
        text.splitlines()[:6]
    )
    found = sections(text)
    assert list(found) == [
        *("Speech to text", "Speech to speech", "Speech to vectors", "Training"),
        *("Large data sets", "Installation and models", "Options"),
    ]
    listed = re.findall(r"^  ([a-z]\S+)  ", text, re.MULTILINE)
    assert listed == list(COMMANDS)
    assert "..." not in text.partition("Options:")[2]
    assert "--install-completion" in found["Options"]
    assert "env var" not in text
    alone = subprocess.run([sys.executable, "-m", "speechkit"], capture_output=True, check=False)
    assert alone.returncode == 2
    assert (alone.stdout + alone.stderr).decode().strip() == text.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_can_be_loaded(name: str) -> None:
    assert COMMANDS[name].name == name


def test_asr_shows_its_options_by_subject_and_engine(helps: dict[str, str]) -> None:
    found = sections(helps["asr"])
    for title, option in (
        ("Engine and model", "--model PATH|ID"),
        ("Output", "-o, --output FILE|-"),
        ("Text formats", "-f, --format jsonl|ctm|srt|textgrid|tsv|txt|vtt"),
        ("Subtitles (srt and vtt)", "--max-cue SECONDS"),
        ("Engines faster-whisper, nemo and whisper", "--language"),
        ("Engines faster-whisper and whisper", "--task transcribe|translate"),
        ("Engine nemo", "--dataloader direct|lhotse|manifest"),
        ("Device", "--batch-size N|auto"),
        ("Running", "--workers N"),
        ("Settings and messages", "-h, --help"),
    ):
        assert option in found[title], title
    assert list(found)[-2:] == ["Running", "Settings and messages"]
    assert "Options" not in found


@pytest.mark.parametrize("command", ["vad", "asr", "s2s", "embed"])
def test_engines_are_choices_and_no_type_stands_for_a_value(
    command: str, helps: dict[str, str]
) -> None:
    text = helps[command]
    assert f"--engine {'|'.join(registry.names(command))}" in text
    assert not re.search(r"<\w+( range)?>", text)
    assert "[default: 0" not in text
    assert "Default: 0.0" not in text


def test_a_command_with_subcommands_runs_itself_where_the_first_word_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its help shows its own options and lists the others, which have variables of their own."""
    entry = Entry("inside", "doctor:doctor", "Look inside.")
    outer = CommandTable({"Any": (Entry("verify", "embed:embed", "Verify.", (entry,)),)})["verify"]
    root = typer.main.get_command(app)
    with root.make_context("speechkit", ["verify"]) as above:
        own = outer.make_context("verify", ["a.wav", "inside", "--dtype", "float16"], above)
        assert own.params["inputs"] == ("a.wav", "inside")
        inner = outer.make_context("verify", ["inside", "--json"], above)
        assert inner.command.callback.__name__ == "doctor"
        assert inner.command_path == "speechkit verify inside"
        assert inner.auto_envvar_prefix == "SPEECHKIT_VERIFY_INSIDE"
        assert inner.params["as_json"] is True
        (debug,) = (option for option in inner.command.params if option.name == "debug")
        assert debug.envvar == ["SPEECHKIT_VERIFY_INSIDE_DEBUG", "SPEECHKIT_DEBUG"]
        found = sections(outer.get_help(own))
    assert "inside  Look inside." in found["Commands"]
    assert "--output-dir DIR" in found["Output"]
    assert "--output," not in found["Output"]
