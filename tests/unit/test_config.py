"""Options from YAML: taken by name, refused by name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from speechkit.cli import app
from speechkit.commands.config import defaults
from speechkit.errors import UsageError


def taken(tmp_path: Path, text: str, command: str = "vad") -> dict[str, object]:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    group = typer.main.get_command(app)
    own = group.commands[command]  # type: ignore[attr-defined]
    context = typer.Context(own, info_name=command, parent=typer.Context(group))
    return defaults(path, context)


def test_general_and_own_options(tmp_path: Path) -> None:
    text = (
        "workers: 3\nthreshold: 0.4\nvad:\n  threshold: 0.7\n  min-speech: 0.1\nasr: {words: true}"
    )
    assert taken(tmp_path, text) == {"workers": 3, "threshold": 0.7, "min_speech": 0.1}
    assert taken(tmp_path, text, "asr") == {"workers": 3, "words": True}
    assert taken(tmp_path, "vad:\nasr: {words: true}") == {}
    assert taken(tmp_path, "") == {}
    assert taken(tmp_path, "format: srt") == taken(tmp_path, "format: [srt]") == {"format": ["srt"]}


def test_what_is_enormous_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"options\.yaml: not a configuration: longer than 1 MiB"):
        taken(tmp_path, "a: b\n" * (1 << 18))


def test_interpolation(tmp_path: Path) -> None:
    assert taken(tmp_path, "vad: {threshold: 0.6, hysteresis: '${vad.threshold}'}") == {
        "threshold": 0.6,
        "hysteresis": 0.6,
    }


def test_a_reference_to_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "0.3")
    text = "vad: {threshold: '${oc.decode:${oc.env:HERE}}', hysteresis: '${vad.threshold}'}"
    assert taken(tmp_path, text) == {"threshold": 0.3, "hysteresis": 0.3}


ALIASES = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
REFERENCES = [f"a{n}: '{f'${{a{n - 1}}}' * 10}'" for n in range(1, 9)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a0: &a0 [x]", *ALIASES], "its aliases make more than 300000 values of it"),
        (["a0: &a0 [*a0]"], "its aliases make more than 300000 values of it"),
        (["a0: ha", *REFERENCES], "its references make more than 300000 values of it"),
        (["a: ${b}", "b: ${a}"], "its references go in circles"),
        (["a: " + "[" * 70 + "]" * 70], "nested more than 60 deep"),
    ],
    ids=["aliases", "itself", "references", "circle", "depth"],
)
def test_a_few_lines_that_grow(tmp_path: Path, lines: list[str], message: str) -> None:
    """Refused at once; OmegaConf alone takes 40 s for the eight lines of aliases."""
    began = time.monotonic()
    with pytest.raises(UsageError, match=rf"options\.yaml: not a YAML configuration: .*{message}"):
        taken(tmp_path, "\n".join(lines))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wrokers: 3", r"options\.yaml: no command has an option 'wrokers'"),
        ("vad: {words: true}", r"options\.yaml: vad has no option 'words'"),
        ("vad: 3", r"options\.yaml: vad: expected options by name"),
        ("vad: [a]", r"options\.yaml: vad: expected options by name"),
        ("- a\n- b", r"options\.yaml: expected options by name, found a list"),
        ("5", r"options\.yaml: expected options by name, found one value"),
        ("workers: true", r"options\.yaml: workers: expected no switch, found true"),
        ("vad: {limit: 1.5}", r"options\.yaml: vad: limit: expected a whole number, found 1\.5"),
        ("vad: {format: [csv, no]}", r"vad: format: expected no switch, found false; quote text"),
        ("just words", r"options\.yaml: "),
        ("vad: {threshold: [1, 2]}", r"vad: threshold: expected one value, found \[1, 2\]"),
        ("workers: {a: 1}", r"options\.yaml: workers: expected one value"),
        ("inputs: [a.wav]", r"no command has an option 'inputs'"),
        ("a: [", r"options\.yaml: not a YAML configuration"),
        ("a: " + "[" * 1000, "exceeded maximum nesting depth"),
        ("workers: ${nothing}", r"options\.yaml: not a YAML configuration"),
        ("workers: ???", r"options\.yaml: "),
    ],
)
def test_what_cant_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        taken(tmp_path, text)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        defaults(tmp_path / "none.yaml", typer.Context(typer.main.get_command(app)))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_bytes(b"\xff\xfe\x00workers: 3")
    with pytest.raises(UsageError, match="not a YAML configuration"):
        defaults(tmp_path / "o.yaml", typer.Context(typer.main.get_command(app)))


@pytest.mark.parametrize("text", ["workers: many", "limit: 0", "vad: {threshold: high}"])
def test_a_value_of_another_type_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "o.yaml").write_text(text)
    done = CliRunner().invoke(app, ["vad", str(tmp_path), "--config", str(tmp_path / "o.yaml")])
    assert done.exit_code == 2
    assert "Traceback" not in done.output
