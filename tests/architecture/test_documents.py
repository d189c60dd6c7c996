"""Every path, link, make target, command, option and variable that a document names exists."""

import ast
import contextlib
import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from django.core.management import get_commands, load_command_class

from tests.architecture import compose
from tests.architecture.tree import PACKAGES, ROOT, name_of
from tests.tutorials.following import blocks, edit

DOCUMENTS = tuple(sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))))
FAILURES = ROOT / "docs" / "explanation" / "failures.md"
WRITING = ROOT / "docs" / "how-to" / "writing-a-saga.md"
MADE_LATER = {".env", ".venv", ".dueto", "reports", "out.json", "report.json", "report.html"}
"""Files that the commands create: named in documents, not in the repository."""
NO_TARGETS = {"cart"}
"""`make cart` is a row of Locust's table."""

_CODE = re.compile(r"```.*?```|`[^`\n]+`", flags=re.DOTALL)
_LINK = re.compile(r"(?:\]\(|src(?:set)?=\")([^)\s\"]+)[)\"]")
_PATH = re.compile(
    r"(?<![\w/.:-])((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|yml|toml|txt|sql))(?![\w/])"
)
_WRITTEN = re.compile(r"^`([\w./-]+)`:\n\n```python$", flags=re.MULTILINE)
"""A file that the reader writes: tests/tutorials does."""
_HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)

_PAGE = re.compile(r"\[(catalogue/\w+\.py)\][^\n]*\n+```python\n(.*?)```", flags=re.DOTALL)
_LEFT_OUT = re.compile(r"^ *# \.\.\.\n", flags=re.MULTILINE)
_TEST = re.compile(r"(tests/[\w/]+\.py)::(?:\w+::)?(test_\w+)")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    dead = [link for link in _LINK.findall(document.read_text()) if not _leads(document, link)]
    assert not dead


@every_document
def test_paths_exist(document: Path) -> None:
    top = {path.name for path in ROOT.iterdir()} | MADE_LATER
    written = set(_WRITTEN.findall(document.read_text()))
    missing = [
        path
        for code in _codes(document)
        for path in _PATH.findall(code)
        if path.split("/")[0] in top or "/" not in path
        if path.split("/")[0] not in MADE_LATER and path not in written and not _exists(path)
    ]
    assert not missing


@every_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for code in _codes(document) for name in re.findall(r"\bmake ([a-z-]+)", code)}
    assert not named - targets - NO_TARGETS


@every_document
def test_management_commands_and_their_options_exist(document: Path) -> None:
    wrong = []
    for code in _codes(document):
        for name, arguments in re.findall(r"manage\.py ([a-z_]+)((?: [^\n`#|;&]*)?)", code):
            options = set(re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", arguments))
            wrong += [f"{name} {option}".strip() for option in options - _options(name)]
            wrong += [] if name in {*get_commands(), "help"} else [name]
    assert not wrong


@every_document
def test_modules_that_are_run_exist(document: Path) -> None:
    named = {
        name
        for code in _codes(document)
        for name in re.findall(r"python3? -m ([\w.]+)", code)
        if name.split(".")[0] in PACKAGES
    }
    assert not [name for name in named if not _exists(name.replace(".", "/") + ".py")]


@every_document
def test_variables_exist(document: Path) -> None:
    codes = (code for code in _codes(document) if not code.startswith("```diff"))
    named = set(re.findall(r"\b(?:DUETO_\w+|\w+_URL)\b", " ".join(codes)))
    known = set(re.findall(r"\b[A-Z_]+\b", compose.EXAMPLE.read_text()))
    assert not named - known, "not in .env.example"


@every_document
def test_compose_profiles_exist(document: Path) -> None:
    named = {name for code in _codes(document) for name in re.findall(r"--profile (\w+)", code)}
    known = {
        name for service in compose.services().values() for name in service.get("profiles", [])
    }
    assert not named - known


@every_document
def test_named_tests_exist(document: Path) -> None:
    named = _TEST.findall(" ".join(_codes(document)))
    assert not [f"{path}::{name}" for path, name in named if not _defines(path, name)]


@every_document
def test_imports_that_are_shown_exist(document: Path) -> None:
    shown = list(blocks(document.read_text()))
    added = set(re.findall(r"^\+class (\w+)", "".join(block.text for block in shown), re.MULTILINE))
    missing = [
        f"{module}.{name}"
        for block in shown
        if block.kind == "python"
        for module, name in _imports(block.text)
        if name not in added and not _can_import(module, name)
    ]
    assert not missing


@every_document
def test_edits_that_are_shown_can_be_made(document: Path) -> None:
    for block in blocks(document.read_text()):
        if block.kind == "diff":
            before = edit(block)[0]
            assert (ROOT / block.file).read_text().count(before) == 1, f"{block.file}:\n{before}"


@pytest.mark.parametrize("document", [ROOT / "README.md", WRITING], ids=name_of)
def test_definition_that_is_shown_is_its_file_apart_from_marked_omissions(
    document: Path,
) -> None:
    shown = _PAGE.findall(document.read_text())
    assert shown, "a page, below the line that links it"
    for path, text in shown:
        remaining = (ROOT / path).read_text()
        for piece in _LEFT_OUT.split(text):
            _, found, remaining = remaining.partition(piece)
            assert found, f"{path} has not, in this order:\n{piece}"


@pytest.mark.parametrize("document", [FAILURES], ids=name_of)
def test_each_row_names_the_test_that_shows_it(document: Path) -> None:
    rows = [line for line in document.read_text().splitlines() if line.startswith("| ")]
    claims = [row for row in rows if not row.rstrip(" |").endswith("shown by")]
    assert claims
    assert not [row for row in claims if not _TEST.search(row.rstrip(" |").rpartition(" | ")[2])]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (test_links_lead_somewhere, "[all of it](docs/everything.md)"),
        (test_links_lead_somewhere, "[above](#nowhere)"),
        (test_links_lead_somewhere, '<img src="docs/pictures/none.png">'),
        (test_paths_exist, "`carrito/utils.py`"),
        (test_paths_exist, "see `everything.py`"),
        (test_imports_that_are_shown_exist, "```python\nfrom contracts.saga import Magic\n```"),
        (test_edits_that_are_shown_can_be_made, "`pyproject.toml`\n\n```diff\n magic\n+more\n```"),
        (test_make_targets_exist, "```sh\nmake money\n```"),
        (test_management_commands_and_their_options_exist, "`manage.py prosper`"),
        (test_management_commands_and_their_options_exist, "`manage.py worker --faster`"),
        (test_modules_that_are_run_exist, "`python -m stack.magic`"),
        (test_variables_exist, "`DUETO_MAGIC=1`"),
        (test_compose_profiles_exist, "`docker compose --profile magic up`"),
        (test_named_tests_exist, "`tests/architecture/test_documents.py::test_magic`"),
        (test_each_row_names_the_test_that_shows_it, "| it dies | nothing | `magic` |"),
        (
            test_definition_that_is_shown_is_its_file_apart_from_marked_omissions,
            "[catalogue/checkout.py](x):\n\n```python\nSAGA = Saga(\n    steps=(\n```",
        ),
    ],
)
def test_check_notices_missing_names(check: Any, text: str, tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    document.write_text(f"# A document\n\n{text}\n")
    with pytest.raises(AssertionError):
        check(document)


def _codes(document: Path) -> Iterator[str]:
    """The texts between backticks."""
    yield from _CODE.findall(document.read_text())


def _imports(code: str) -> Iterator[tuple[str, str]]:
    """Module and name of imports from our packages. None if the code is not valid Python."""
    with contextlib.suppress(SyntaxError):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
                yield from ((node.module or "", alias.name) for alias in node.names)


def _can_import(module: str, name: str) -> bool:
    file = module.replace(".", "/") + ".py"
    if _exists(file) and re.search(rf"^(?:class|def) {name}\b", (ROOT / file).read_text(), re.M):
        return True  # and never imported here: what imports Locust patches the process
    try:
        imported = import_module(module)
    except ImportError:
        return False
    return hasattr(imported, name) or _exists(f"{module}.{name}".replace(".", "/") + ".py")


def _leads(document: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True  # elsewhere: tests need no network
    path, _, anchor = unquote(link).partition("#")
    target = document.parent / path if path else document
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(document: Path) -> set[str]:
    """The headings of a document as its readers' browsers name them."""
    headings = _HEADING.findall(document.read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def _exists(path: str) -> bool:
    """From the root, or, as the file names of an anatomy, somewhere in the repository."""
    if "/" in path:
        return (ROOT / path).exists()
    return (ROOT / path).exists() or any(
        file for package in (*PACKAGES, "docs", "tests") for file in (ROOT / package).rglob(path)
    )


def _defines(path: str, name: str) -> bool:
    file = ROOT / path
    return file.exists() and f"def {name}(" in file.read_text()


def _options(command: str) -> set[str]:
    if command not in get_commands():
        return set()
    application = get_commands()[command]
    loaded = (
        load_command_class(application, command) if isinstance(application, str) else application
    )
    return set(_options_of(loaded.create_parser("manage.py", command)))


def _options_of(parser: ArgumentParser) -> Iterator[str]:
    """Its own, and those of its subcommands."""
    yield from parser._option_string_actions
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for choice in action.choices.values():
                yield from _options_of(choice)
