"""Code is where a reader expects it: every participant has the same file names, no module is a
catch-all, no file is too long to read in one go.
"""

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest

from catalogue.services import PARTICIPANTS
from tests.architecture.tree import (
    ROOT,
    functions,
    modules,
    name_of,
    parsed,
    repository_files,
)

ANATOMY = {
    *("__init__", "admin", "apps", "migrations", "models", "operations"),
    *("serializers", "store", "urls", "views"),
}
DRAWERS = {"base", "common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"}
"""Names without meaning: such a module can't be found, and collects everything."""

SPEAK_FOR_THEMSELVES = ("apps.py", "urls.py")
"""Django's own tables: their name is their purpose."""

NINE_IN_TEN = 0.9
SHORT_FUNCTION, SHORT_MODULE = 30, 320
LONGEST_MODULE = 520
"""All SQL of the orchestrator's hot path is in one place."""


@pytest.mark.parametrize("participant", PARTICIPANTS)
def test_participants_have_the_same_file_names(participant: str) -> None:
    names = {path.stem for path in (ROOT / participant).iterdir()}
    assert not ANATOMY - names


def test_no_module_is_a_catch_all() -> None:
    ours = [path.relative_to(ROOT) for path in repository_files() if path.suffix == ".py"]
    assert not [str(path) for path in ours if DRAWERS & {*path.parts, path.stem.lower()}]


def test_every_module_has_a_docstring() -> None:
    silent = [
        name_of(path)
        for path in modules()
        if not path.name.endswith(SPEAK_FOR_THEMSELVES) and _has_code(path)
        if not ast.get_docstring(parsed(path))
    ]
    assert not silent, "no docstring at the top"


def test_nine_functions_in_ten_are_short(record_property) -> None:
    lengths = {
        f"{function.place} {function.name}": function.lines
        for path in modules()
        for function in functions(path)
    }
    record_property("functions", _check_short(lengths, SHORT_FUNCTION))


def test_nine_modules_in_ten_are_short(record_property) -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in modules()}
    record_property("modules", _check_short(lengths, SHORT_MODULE))
    assert max(lengths.values()) <= LONGEST_MODULE, f"split by subject:\n{_listed(lengths)}"


def _check_short(lengths: dict[str, int], limit: int) -> str:
    """Fails if fewer than nine in ten are below the limit."""
    share = sum(length < limit for length in lengths.values()) / len(lengths)
    median = sorted(lengths.values())[len(lengths) // 2]
    measured = f"{len(lengths)}, median {median} lines, {share:.1%} under {limit}"
    assert share >= NINE_IN_TEN, f"{measured}; the longest:\n{_listed(lengths)}"
    return measured


def _listed(lengths: dict[str, int]) -> str:
    longest: Sequence[str] = sorted(lengths, key=lambda name: -lengths[name])[:10]
    return "\n".join(f"{lengths[name]:5} {name}" for name in longest)


def _has_code(path: Path) -> bool:
    return bool(parsed(path).body)
