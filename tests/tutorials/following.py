"""The fenced blocks of a page, and the edit that a `diff` is."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`((?:[\w-]+/)*[\w-]+\.\w+)`")


class Block(NamedTuple):
    """`kind`: of the fence. `file`: the last file that is named above it; `text`: of the block."""

    kind: str
    file: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The page's blocks, in order."""
    for match in _BLOCK.finditer(page):
        named = _NAMED.findall(page[: match.start()])
        yield Block(match[1], named[-1] if named else "", match[2])


def edit(block: Block) -> tuple[str, str]:
    """The text that a `diff` replaces, and its replacement."""
    lines = block.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    return before, "".join(line[1:] for line in lines if line[0] != "-")
