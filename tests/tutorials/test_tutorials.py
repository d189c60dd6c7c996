"""The tutorials, followed command by command in a fresh copy of the repository.

A page's fenced blocks are carried out in order: `python` and `bash` are written to the file that is
named last above them in backticks, a `diff` edits it, `sh` is run, and each line of a `text` block
must be in the output of the commands before it, in that order; `...` stands for any text, and
spaces may be more or fewer. Ports are this test's own.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogue.services import ALL
from tests.architecture.tree import ROOT, repository_files
from tests.tutorials.following import Block, blocks, edit

TUTORIALS = ROOT / "docs" / "tutorials"
NEW = ("puntos", 3008)
"""The service that a reader adds, and its port."""
SECONDS = 900

_PORT = re.compile(r"((?:localhost|127\.0\.0\.1):)(\d+)")


class Reader:
    """Follows a page, in `folder`."""

    def __init__(self, folder: Path, *, base: int) -> None:
        self.folder = folder
        self._output = ""
        ports = {service.port: base + place for place, service in enumerate(ALL)}
        self._ports = {**ports, NEW[1]: base + len(ALL)}
        given = ("DATABASE_URL", "RABBITMQ_URL", "DUETO_BROKER", "DJANGO_SETTINGS_MODULE")
        environment = {name: value for name, value in os.environ.items() if name not in given}
        self._environment = {**environment, "DUETO_PORT_BASE": str(base)}

    def follow(self, block: Block) -> None:
        getattr(self, f"_{block.kind}")(block)

    def _python(self, block: Block) -> None:
        path = self.folder / block.file
        path.parent.mkdir(exist_ok=True)
        path.write_text(self._moved(block.text))

    _bash = _python

    def _diff(self, block: Block) -> None:
        before, after = edit(block)
        text = (self.folder / block.file).read_text()
        assert text.count(before) == 1, f"{block.file} has not, once:\n{before}"
        (self.folder / block.file).write_text(text.replace(before, after))

    def _sh(self, block: Block) -> None:
        ended = self.run(block.text)
        self._output = ended.stdout
        assert ended.returncode == 0, f"{block.text}\n{ended.stdout}"

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._moved(commands)],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _text(self, block: Block) -> None:
        if not _shows(self._moved(block.text), self._output):
            pytest.fail(f"Not in the output:\n{block.text}\nBut:\n{self._output}", pytrace=False)

    def _moved(self, text: str) -> str:
        return _PORT.sub(lambda match: f"{match[1]}{self._ports[int(match[2])]}", text)


def _shows(expected: str, output: str) -> bool:
    """Whether the output has each expected line, in their order."""
    lines = [_pattern(line) for line in expected.splitlines()]
    return bool(re.search(".*?".join(lines), output, flags=re.DOTALL))


def _pattern(line: str) -> str:
    words = [re.escape(word).replace(r"\.\.\.", ".*?") for word in line.split()]
    return r"\s+".join(words)


def _free_base(count: int) -> int:
    """The first of that many free ports in a row, below the kernel's ephemeral ports."""
    for base in random.sample(range(10_000, 30_000, 50), 50):
        if all(_is_free(base + place) for place in range(count)):
            return base
    raise AssertionError("no ports are free")


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "dueto"
    for path in repository_files():
        copied = folder / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copied)
    (folder / ".venv").symlink_to(sys.prefix)
    following = Reader(folder, base=_free_base(len(ALL) + 1))
    yield following
    following.run(".venv/bin/python manage.py down --purge")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_each_command_does_what_the_page_says(page: Path, reader: Reader) -> None:
    steps = list(blocks(page.read_text()))
    assert {"sh", "text"} <= {block.kind for block in steps}
    for block in steps:
        reader.follow(block)


@pytest.mark.parametrize(
    ("expected", "output", "is_shown"),
    [
        ("up in ... s", "it is  up in 41 s", True),
        ('"points":398,...}', '{"points":398,"is_closed":true}', True),
        ("398 points", "399 points", False),
        ("first\nsecond", "second\nfirst", False),
        ("the audit is clean", "the audit is not clean", False),
    ],
)
def test_expected_lines_are_found_in_their_order(
    expected: str, output: str, is_shown: bool
) -> None:
    assert _shows(expected, output) is is_shown


def test_edit_of_missing_text_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "register.py").write_text("ALL = ()\n")
    with pytest.raises(AssertionError, match="has not"):
        Reader(tmp_path, base=10_000).follow(Block("diff", "register.py", " ALL = (\n+    1,\n"))
