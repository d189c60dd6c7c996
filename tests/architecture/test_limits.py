"""Every wait has a limit in the document, and ends before its caller gives up."""

import importlib
import re

import pytest

from tests.architecture.tree import ROOT

ROW = re.compile(r"\| `([\w.]+)` \| ([\d.]+) \| .* \| (?:`([\w.]+)` )?\|")
ROWS = ROW.findall((ROOT / "docs/reference/limits.md").read_text())


def value_of(name: str) -> float:
    module, _, constant = name.rpartition(".")
    return float(getattr(importlib.import_module(module), constant))


def test_table_is_read() -> None:
    rows = [
        line
        for line in (ROOT / "docs/reference/limits.md").read_text().splitlines()
        if "_SECONDS` | " in line
    ]
    assert len(ROWS) == len(rows) > 25


@pytest.mark.parametrize(("name", "seconds", "below"), ROWS)
def test_limit_is_as_the_document_has_it(name: str, seconds: str, below: str) -> None:
    assert value_of(name) == float(seconds)
    if below:
        assert value_of(name) < value_of(below)
