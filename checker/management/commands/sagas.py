"""`manage.py sagas`: shows, checks, draws and explores the sagas."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from catalogue import SAGAS
from checker.explorer import commands as explorer
from checker.explorer.commands import Write
from checker.protocol import checking, showing, wired
from checker.protocol.description import Protocol
from checker.protocol.pictures import AUTOMATA, FLOWCHARTS
from contracts import patterns

CLEAN, BREACHED, NOT_CHECKED = 0, 1, 2
FIRST = "checkout"


class Command(BaseCommand):
    help = "Shows, checks, draws and explores the sagas. Needs no database and no broker."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parsers = parser.add_subparsers(dest="what", metavar="what", required=True)
        for name, (about, add_options, _) in SUBCOMMANDS.items():
            add_options(parsers.add_parser(name, help=about, description=about))

    def handle(self, *args: Any, **options: Any) -> None:
        _, _, run = SUBCOMMANDS[options["what"]]
        sys.exit(run(options=options, write=self.stdout.write))


def _add_show(parser: ArgumentParser) -> None:
    parser.add_argument("saga", choices=SAGAS, help=f"one of {', '.join(SAGAS)}")


def _show(*, options: dict[str, Any], write: Write) -> int:
    write(showing.as_text(saga=SAGAS[options["saga"]]))
    return CLEAN


def _add_check(parser: ArgumentParser) -> None:
    parser.add_argument("--saga", metavar="NAME", help="only this one (default: all)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--protocols",
        metavar="NAME",
        default=f"{wired.catalogue.__module__}.{wired.catalogue.__name__}",
        help="the function that returns the protocols, as a dotted name (default: the catalogue's)",
    )


def _check(*, options: dict[str, Any], write: Write) -> int:
    """Prints what was proven and what was not; for a single saga also each rule's promise.

    Raises CommandError if the function does not exist, or returns no protocol of that saga.
    """
    try:
        found: list[Protocol] = import_string(options["protocols"])()
    except ImportError as error:
        raise CommandError(f"--protocols: {error}", returncode=NOT_CHECKED) from error
    wanted = [protocol for protocol in found if options["saga"] in (None, protocol.saga.name)]
    if not wanted:
        names = ", ".join(dict.fromkeys(protocol.saga.name for protocol in found)) or "none"
        raise CommandError(f"--saga: there are {names}", returncode=NOT_CHECKED)
    report = checking.check(protocols=wanted)
    text = report.as_text(is_short=len({protocol.saga.name for protocol in wanted}) > 1)
    write(json.dumps(report.as_json(), indent=2) if options["json"] else text)
    return CLEAN if report.is_clean else BREACHED


def _add_graph(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--saga", choices=SAGAS, default=FIRST, help="which one (default: %(default)s)"
    )
    parser.add_argument(
        "--pattern",
        choices=wired.PROTOCOLS,
        default=patterns.CHOREOGRAPHED,
        help="in which pattern (default: %(default)s)",
    )
    parser.add_argument(
        "--automaton", action="store_true", help="the states ok and error, and their transitions"
    )
    parser.add_argument(
        "--format",
        choices=FLOWCHARTS,
        default="mermaid",
        help=f"{' or '.join(FLOWCHARTS)} (default: %(default)s)",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="instead of printing it")


def _graph(*, options: dict[str, Any], write: Write) -> int:
    """Draws one saga in one pattern, or as an automaton."""
    saga, form = SAGAS[options["saga"]], options["format"]
    if options["automaton"]:
        drawn = AUTOMATA[form](saga)
    else:
        drawn = FLOWCHARTS[form](wired.PROTOCOLS[options["pattern"]](saga=saga))
    if options["output"]:
        options["output"].write_text(drawn)
    else:
        write(drawn)
    return CLEAN


SUBCOMMANDS = {
    "show": ("prints everything that is derived from a saga's definition", _add_show, _show),
    "check": (
        "proves that each path of each saga ends right in each pattern; status 1 for a breach",
        _add_check,
        _check,
    ),
    "graph": ("draws each service's steps, and the next step for each outcome", _add_graph, _graph),
    "explore": (
        "plays thousands of schedules of faults, in memory; exit status 1 for a breach",
        explorer.add_explore,
        explorer.explore,
    ),
}
"""By name: the help text, the function that adds the options, and the function that runs it and
returns the exit status.
"""
