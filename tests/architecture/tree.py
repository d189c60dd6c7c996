"""The repository as the tests of this folder see it: its files, its modules, its functions."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from catalogue.services import WITH_DATABASE

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = WITH_DATABASE
"""Participants, coordinators, and external services."""
OPTIONAL = tuple({"saga_temporal"} - set(SERVICES))
"""Optional packages; their code follows the same rules."""
PACKAGES = (
    *("config", "catalogue", "contracts", "participant", "messaging", "httpapi", "coordination"),
    *(*SERVICES, *OPTIONAL, "accounts", "dashboard", "loadtests", "stack", "checker"),
)


class Function(NamedTuple):
    """A function or method, `place` as an editor takes it; `lines` with its signature, without
    its decorators."""

    place: str
    name: str
    lines: int


@cache
def repository_files() -> tuple[Path, ...]:
    """The repository's files: those that git tracks, and those that `git add` would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("git can't list the files here: not a clone, or no git")
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file())


@cache
def modules(*packages: str) -> tuple[Path, ...]:
    """The Python files of these packages (all of ours if none is named), migrations left out."""
    paths = (path for package in packages or PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(sorted(path for path in paths if "migrations" not in path.parts))


def functions(path: Path) -> Iterator[Function]:
    """Every function of a module, those inside others and in classes too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(f"{name_of(path)}:{node.lineno}", node.name, lines)


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text(), filename=str(path))


def name_of(path: Path) -> str:
    """A file's path as people write it, from the root of the repository."""
    return path.relative_to(ROOT).as_posix()
