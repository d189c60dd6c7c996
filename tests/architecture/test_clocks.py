"""Whose clock decides: the database's. A host's own is read only where nothing depends on it."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.effects import SHOP
from tests.architecture.tree import ROOT, name_of, parsed

ALLOWED = {
    "coordination/owner_views.py": "occurred_at of a saga's first event: the speaker's word",
    "coordination/sweeping.py": "since when a coordinator has been away: for the lights",
    "coordination/decision_components.py": "since when some can't be ended: for the lights",
    "participant/decisions.py": "when a decision began: for its trace",
    "coordination/management/commands/recover.py": "which have waited for long enough: a filter",
    "pagos/desk.py": "since when the card network has been away: for the lights",
    "inventario/expiry.py": "since when a reservation can't be released: for the lights",
    "httpapi/standing.py": "since when something stands: for the lights",
    "messaging/components.py": "since when the broker is asked: likewise",
    "httpapi/keys.py": "when a token ends, a key begins: hosts' clocks agree by seconds",
    "httpapi/authentication.py": "whether a token has ended: likewise",
    "messaging/worker.py": "since when: for the lights; a silent part in the database's time",
    "messaging/failed.py": "occurred_at of an event: the speaker's word, which decides nothing",
    "messaging/handlers.py": "occurred_at and requested_at: likewise",
    "messaging/relay.py": "sent_at: for the timeline; rows are forgotten hours later",
    "saga_orchestrator/messages.py": "occurred_at of a request: the speaker's word",
    "saga_temporal/worker.py": "since when Temporal has been away: for the lights",
}
"""Files that may read the host's clock, and their reasons. `time.monotonic` compares times of one
process, and is always allowed.
"""
_CLOCKS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
    ("timezone", "now"),
}


def test_host_clock_is_read_only_where_it_decides_nothing() -> None:
    calls = {
        name_of(path)
        for package in SHOP
        for path in sorted((ROOT / package).rglob("*.py"))
        if any(_asks(parsed(path)))
    }
    assert calls - ALLOWED.keys() == set(), "ask the database: its clock is the same for all hosts"
    assert ALLOWED.keys() - calls == set(), "these need no leave any more"


@pytest.mark.parametrize(
    "line",
    [
        "datetime.now(UTC)",
        "at = datetime.datetime.now()",
        "time.time()",
        "timezone.now()",
        "default=timezone.now",
        "from time import time",
    ],
)
def test_host_clock_is_noticed(line: str) -> None:
    assert any(_asks(ast.parse(line)))


def _asks(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (_last(node.value), node.attr) in _CLOCKS:
            yield node
        if isinstance(node, ast.ImportFrom):
            yield from (name for name in node.names if (node.module, name.name) in _CLOCKS)


def _last(node: ast.AST) -> str:
    """`datetime` of `datetime.datetime`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
