"""Functions and files of the source stay short enough to be read in one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "speechkit"
MAX_FUNCTION_LINES = 50  # from `def` to the last line, the docstring included
MAX_COMPLEXITY = 12  # one, and one more for each branch
MAX_FILE_LINES = 300

#: Files over the limit, each with its reason. Functions have no exceptions.
LONG_FILES = {
    "keys.py": "one table, a row a key",
    "stages/validate/rules.py": "two tables, a row a measure and a row a rule",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> Iterator[tuple[str, str]]:
    """The path below the package and the text of every source file."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), path.read_text()


def functions() -> Iterator[tuple[str, Function]]:
    """``path::name`` and the definition of every function, methods and nested ones included."""
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                yield f"{path}::{node.name}", node


def length(function: Function) -> int:
    """Lines from ``def`` to the last statement; decorators stand above it."""
    assert function.end_lineno
    return function.end_lineno - function.lineno + 1


def complexity(function: ast.AST) -> int:
    """McCabe's cyclomatic complexity, as radon counts it.

    1, and 1 more for each ``if``, ``elif``, ternary, loop, ``except``, ``match`` case but the
    wildcard, ``else`` of a loop or a ``try``, further operand of ``and`` and ``or``, and ``for``
    and ``if`` of a comprehension. A nested function counts as part of the one around it.
    """
    count = 1
    for node in ast.walk(function):
        match node:
            case ast.If() | ast.IfExp() | ast.ExceptHandler():
                count += 1
            case ast.For() | ast.AsyncFor() | ast.While():
                count += 1 + bool(node.orelse)
            case ast.Try():
                count += bool(node.orelse)
            case ast.match_case():
                count += not (isinstance(node.pattern, ast.MatchAs) and node.pattern.name is None)
            case ast.BoolOp():
                count += len(node.values) - 1
            case ast.comprehension():
                count += 1 + len(node.ifs)
    return count


def test_files_are_short() -> None:
    lines = {path: text.count("\n") for path, text in sources()}
    long = {path for path, count in lines.items() if count > MAX_FILE_LINES}
    assert long == set(LONG_FILES)


def test_functions_are_short() -> None:
    long = {name for name, function in functions() if length(function) > MAX_FUNCTION_LINES}
    assert not long


def test_functions_branch_little() -> None:
    complex_ = {name for name, function in functions() if complexity(function) > MAX_COMPLEXITY}
    assert not complex_


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return a", 1),
        ("if a:\n  return b\n elif b:\n  return a\n else:\n  return 0", 3),
        ("return a and b and c or d", 4),
        ("return [x for x in a if x if b for y in x]", 5),
        ("for x in a:\n  while x:\n   x -= 1\n else:\n  return a", 4),
        ("try:\n  a()\n except OSError:\n  b()\n except ValueError:\n  c()\n else:\n  d()", 4),
        ("with a:\n  return b if c else d", 2),
        ("match a:\n  case 1:\n   pass\n  case _:\n   pass", 2),
        ("def inner():\n  return a or b\n return inner", 2),
    ],
)
def test_complexity_is_counted(body: str, expected: int) -> None:
    assert complexity(ast.parse(f"def f(a, b, c, d):\n {body}\n")) == expected
