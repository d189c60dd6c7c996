"""What `manage.py sagas` offers of the protocol check: show, check, graph."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from checker.protocol import automaton, checking, mermaid, showing, svg, wired
from checker.protocol.description import Protocol
from checker.protocol.graph import graph_of
from contracts import patterns
from contracts.catalogue import SAGAS

Write = Callable[[str], object]
CLEAN, BREACHED, NOT_CHECKED = 0, 1, 2
FORMATS = {"mermaid": mermaid.draw, "svg": svg.draw}
AUTOMATA = {"mermaid": automaton.as_mermaid, "text": automaton.as_text}
FIRST = "checkout"


def catalogue() -> list[Protocol]:
    """The protocols of all sagas that there are."""
    return [one for saga in SAGAS.values() for one in wired.protocols(saga=saga)]


def add_show(parser: ArgumentParser) -> None:
    parser.add_argument("saga", choices=SAGAS)


def show(*, options: dict[str, Any], write: Write) -> int:
    """Writes all that follows from a saga's page. Returns 0."""
    write(showing.as_text(saga=SAGAS[options["saga"]]))
    return CLEAN


def add_check(parser: ArgumentParser) -> None:
    parser.add_argument("--saga", metavar="NAME", help="only this one (default: all)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--protocols",
        metavar="NAME",
        default=f"{catalogue.__module__}.{catalogue.__name__}",
        help="what gives the protocols, as a dotted name: yours, say (default: the catalogue's)",
    )


def check(*, options: dict[str, Any], write: Write) -> int:
    """Writes what was proven and what was not, of one saga with what each rule promises. Returns 0,
    or 1 after a breach.

    Raises CommandError where nothing of that name gives protocols, or none is of that saga.
    """
    try:
        found: list[Protocol] = import_string(options["protocols"])()
    except ImportError as error:
        raise CommandError(f"--protocols: {error}", returncode=NOT_CHECKED) from error
    wanted = [one for one in found if options["saga"] in (None, one.saga.name)]
    if not wanted:
        names = ", ".join(dict.fromkeys(one.saga.name for one in found)) or "none"
        raise CommandError(f"--saga: there are {names}", returncode=NOT_CHECKED)
    report = checking.check(protocols=wanted)
    told = report.as_text(is_short=len({one.saga.name for one in wanted}) > 1)
    write(json.dumps(report.as_json(), indent=2) if options["json"] else told)
    return CLEAN if report.is_clean else BREACHED


def add_graph(parser: ArgumentParser) -> None:
    parser.add_argument("--saga", choices=SAGAS, default=FIRST)
    parser.add_argument("--pattern", choices=wired.PROTOCOLS, default=patterns.CHOREOGRAPHED)
    parser.add_argument(
        "--automaton", action="store_true", help="the states ok and error, and what leads where"
    )
    parser.add_argument("--format", choices=dict.fromkeys([*FORMATS, *AUTOMATA]), default="mermaid")
    parser.add_argument("--output", metavar="FILE", type=Path, help="instead of printing it")


def graph(*, options: dict[str, Any], write: Write) -> int:
    """Draws one saga in one pattern as it is wired, or as an automaton. Returns 0.

    Raises CommandError for a format in which that is not drawn.
    """
    form = options["format"]
    if form not in (AUTOMATA if options["automaton"] else FORMATS):
        raise CommandError(f"--format {form}: not of this picture", returncode=NOT_CHECKED)
    if options["automaton"]:
        drawn = AUTOMATA[form](saga=SAGAS[options["saga"]])
    else:
        drawn = draw(pattern=options["pattern"], form=form, saga=options["saga"])
    if options["output"]:
        options["output"].write_text(drawn)
    else:
        write(drawn)
    return CLEAN


def draw(*, pattern: str, form: str, saga: str = FIRST) -> str:
    """The saga's graph in that pattern, in one of FORMATS."""
    return FORMATS[form](graph_of(wired.PROTOCOLS[pattern](saga=SAGAS[saga])))
