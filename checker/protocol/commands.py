"""What `manage.py sagas` offers of the protocol check."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from checker.protocol import checking, mermaid, svg, wired
from checker.protocol.description import Protocol
from checker.protocol.graph import graph_of
from contracts.statuses import Pattern

CLEAN, BREACHED, NOT_CHECKED = 0, 1, 2
FORMATS = {"mermaid": mermaid.draw, "svg": svg.draw}
PROTOCOLS: dict[str, Callable[[], Protocol]] = {
    Pattern.ORCHESTRATED: wired.orchestrated,
    Pattern.ORCHESTRATED_MESSAGING: wired.orchestrated_messaging,
    Pattern.CHOREOGRAPHED: wired.choreographed,
}
"""The shop's, by pattern; the first is what the others must equal."""


def shop() -> list[Protocol]:
    """The shop's protocols."""
    return [make() for make in PROTOCOLS.values()]


def add_check(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--protocols",
        metavar="NAME",
        default=f"{shop.__module__}.{shop.__name__}",
        help="what gives the protocols, as a dotted name: yours, say (default: the shop's)",
    )


def check(*, options: dict[str, Any], write: Callable[[str], object]) -> int:
    """Writes what was proven and what was not. Returns 0, or 1 after a breach.

    Raises CommandError where nothing of that name gives protocols.
    """
    try:
        protocols = import_string(options["protocols"])
    except ImportError as error:
        raise CommandError(f"--protocols: {error}", returncode=NOT_CHECKED) from error
    report = checking.check(protocols=protocols())
    write(json.dumps(report.as_json(), indent=2) if options["json"] else report.as_text())
    return CLEAN if report.is_clean else BREACHED


def add_graph(parser: ArgumentParser) -> None:
    parser.add_argument("--pattern", choices=PROTOCOLS, default=Pattern.CHOREOGRAPHED.value)
    parser.add_argument("--format", choices=FORMATS, default="mermaid")
    parser.add_argument("--output", metavar="FILE", type=Path, help="instead of printing it")


def graph(*, options: dict[str, Any], write: Callable[[str], object]) -> int:
    """Draws one pattern as it is wired. Returns 0."""
    drawn = draw(pattern=options["pattern"], form=options["format"])
    if options["output"]:
        options["output"].write_text(drawn)
    else:
        write(drawn)
    return CLEAN


def draw(*, pattern: str, form: str) -> str:
    """The shop's graph of that pattern, in one of FORMATS."""
    return FORMATS[form](graph_of(PROTOCOLS[pattern]()))
