"""Nothing of one machine is in the repository, tests don't sleep, ignored rules give a reason."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, modules, name_of, parsed, repository_files

_HOME = r"/(?:home|Users)/(?!(?:dueto|user|you)\b)\w+"
FOREIGN = {
    "an address of a package registry": re.compile(
        r"https?://[^\s/\"'>)]*(?:pypi|pythonhosted|npmjs|artifactory|nexus|devpi)[^\s\"'>)]*"
        r"|https?://[^\s\"'>)]+/simple/?(?=[\s\"'>)]|$)"
        r"|--(?:extra-)?index-url|--find-links|--trusted-host"
    ),
    "a path of one machine": re.compile(rf"(?<![\w.])(?:{_HOME}|/root/|/work/)"),
}

SLEEPS = {
    "tests/integration/loadtests/slow_shop.py": "the fault itself: a shop that stalls",
}
"""Where a test may sleep, and why. All others wait for a condition, with a deadline; the pause
between two looks, inside a `while`, is no sleep."""


@pytest.mark.parametrize("what", FOREIGN)
def test_repository_has_nothing_specific_to_one_machine(what: str) -> None:
    files = [
        f"{name_of(path)}:{number}: {match[0]}"
        for path, text in _texts()
        for number, line in enumerate(text.splitlines(), start=1)
        for match in FOREIGN[what].finditer(line)
    ]
    assert not files, f"{what} is in a file that others get"


@pytest.mark.parametrize(
    "line",
    [
        "--hash from https://pypi.example.org/simple/django/",
        "index = https://files.pythonhosted.org/packages/",
        "pip install --index-url x",
        'open("/home/ana/dueto/README.md")',
        "cd /root/dueto",
    ],
)
def test_text_specific_to_one_machine_is_noticed(line: str) -> None:
    assert any(pattern.search(line) for pattern in FOREIGN.values())


def test_tests_do_not_sleep() -> None:
    sleeps = [
        f"{name_of(path)}:{line}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if name_of(path) not in SLEEPS
        for line in _sleeps(path)
    ]
    assert not sleeps, "wait for a condition with a deadline"


def test_allowance_to_sleep_is_used() -> None:
    unused = [name for name in SLEEPS if not list(_sleeps(ROOT / name))]
    assert not unused


def test_sleep_is_distinguished_from_the_pause_of_a_wait(tmp_path: Path) -> None:
    file = tmp_path / "naps.py"
    file.write_text("time.sleep(1)\nsleep(2)\nwhile not done():\n    time.sleep(0.01)\n")
    assert sorted(_sleeps(file)) == [1, 2]


def test_every_ignored_rule_has_its_reason_beside_it() -> None:
    bare = re.compile(r"#\s*(?:ruff:\s*)?noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?\s*$")
    unexplained = [
        f"{name_of(path)}:{number}"
        for path in (*modules(), *sorted((ROOT / "tests").rglob("*.py")))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if bare.search(line)
    ]
    assert not unexplained, "say why, behind the noqa"


def _texts() -> Iterator[tuple[Path, str]]:
    """The repository's text files but this one, which has to contain the forbidden texts."""
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content and path != Path(__file__):
            yield path, content.decode()


def _sleeps(path: Path) -> Iterator[int]:
    """The lines where a file calls sleep(...), or something.sleep(...), outside of any `while`."""
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "sleep":
            yield node.lineno
        waiting += [
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.While)
        ]
