"""The list of points, generated from the code. `python -m tests.architecture.failpoints` writes it
into docs/reference/failpoints.md.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.architecture.tree import ROOT, modules, name_of, parsed
from tests.chaos.cases import reached_in

DOCUMENT = ROOT / "docs" / "reference" / "failpoints.md"
_FIRST_ROW = "| point | in | killed there |"


class Point(NamedTuple):
    """A `failpoints.reach(...)`: its name, and the file."""

    name: str
    file: str


def all_points() -> list[Point]:
    """In the order of the files. Raises ValueError where a name can't be read from the code."""
    return [point for path in modules() for point in _points_of(path)]


def doubled() -> list[str]:
    """Names that occur in the code more than once."""
    return [
        name for name, count in Counter(point.name for point in all_points()).items() if count > 1
    ]


def table() -> str:
    """The table of docs/reference/failpoints.md."""
    rows = [
        f"| `{point.name}` | `{point.file}` | {'; '.join(reached_in(point.name))} |"
        for point in sorted(all_points())
    ]
    return "\n".join([_FIRST_ROW, "|---|---|---|", *rows]) + "\n"


def documented() -> str:
    """The table of the document."""
    return _FIRST_ROW + DOCUMENT.read_text().partition(_FIRST_ROW)[2]


def _points_of(path: Path) -> Iterator[Point]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoints.reach":
            name = node.args[0]
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                raise ValueError(f"{name_of(path)}:{node.lineno}: the name must stand there")
            yield Point(name.value, name_of(path))


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.partition(_FIRST_ROW)[0] + table())
