"""Every path, link, make target, command and option that a document names is really there."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from django.core.management import get_commands, load_command_class

from tests.architecture.tree import PACKAGES, ROOT, name_of

DOCUMENTS = tuple(sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))))
MADE_LATER = {".env", ".venv", ".dueto", "reports", "out.json", "report.json"}
"""What the commands make: named in documents, not in the repository."""

_CODE = re.compile(r"```.*?```|`[^`\n]+`", flags=re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(
    r"(?<![\w/.:-])((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|yml|toml|txt|sql))(?![\w/])"
)
_HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    dead = [link for link in _LINK.findall(document.read_text()) if not _leads(document, link)]
    assert not dead


@every_document
def test_paths_exist(document: Path) -> None:
    top = {path.name for path in ROOT.iterdir()} | MADE_LATER
    missing = [
        path
        for code in _codes(document)
        for path in _PATH.findall(code)
        if path.split("/")[0] in top or "/" not in path
        if path.split("/")[0] not in MADE_LATER and not _exists(path)
    ]
    assert not missing


@every_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for code in _codes(document) for name in re.findall(r"\bmake ([a-z-]+)", code)}
    assert not named - targets


@every_document
def test_management_commands_and_their_options_exist(document: Path) -> None:
    wrong = []
    for code in _codes(document):
        for name, rest in re.findall(r"manage\.py ([a-z_]+)((?: [^\n`#|;&]*)?)", code):
            options = set(re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", rest))
            wrong += [f"{name} {option}".strip() for option in options - _options(name)]
            wrong += [] if name in get_commands() else [name]
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


def _codes(document: Path) -> Iterator[str]:
    """What stands between backticks."""
    yield from _CODE.findall(document.read_text())


def _leads(document: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True  # elsewhere: tests need no network
    path, _, anchor = unquote(link).partition("#")
    target = document.parent / path if path else document
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(document: Path) -> set[str]:
    """The headings of a document as its readers' browsers name them."""
    headings = _HEADING.findall(document.read_text())
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


def _exists(path: str) -> bool:
    """From the root, or, as the file names of an anatomy, somewhere in the repository."""
    if "/" in path:
        return (ROOT / path).exists()
    return (ROOT / path).exists() or any(
        found for package in (*PACKAGES, "docs", "tests") for found in (ROOT / package).rglob(path)
    )


def _options(command: str) -> set[str]:
    if command not in get_commands():
        return set()
    application = get_commands()[command]
    loaded = (
        load_command_class(application, command) if isinstance(application, str) else application
    )
    return set(loaded.create_parser("manage.py", command)._option_string_actions)
