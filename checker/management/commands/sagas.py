"""`manage.py sagas`: whether the sagas are right, from how they are wired."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand, CommandParser

from checker.explorer import commands as explorer
from checker.protocol import commands as protocol


class Subcommand(NamedTuple):
    """`run` writes what it has to say, and returns the exit status."""

    help: str
    add_arguments: Callable[[CommandParser], None]
    run: Callable[..., int]


SUBCOMMANDS = {
    "show": Subcommand(
        "prints all that follows from a saga's page", protocol.add_show, protocol.show
    ),
    "check": Subcommand(
        "proves who says what to whom right; exit status 1 after a breach",
        protocol.add_check,
        protocol.check,
    ),
    "graph": Subcommand(
        "draws who does what, and who goes on then", protocol.add_graph, protocol.graph
    ),
    "explore": Subcommand(
        "plays thousands of schedules of faults, in memory; exit status 1 after a breach",
        explorer.add_explore,
        explorer.explore,
    ),
}
"""Each by its name; `run` takes `options` and `write`."""


class Command(BaseCommand):
    help = "Whether the sagas are right, from how they are wired. Needs no database, no broker."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parsers = parser.add_subparsers(dest="what", metavar="what", required=True)
        for name, one in SUBCOMMANDS.items():
            one.add_arguments(parsers.add_parser(name, help=one.help, description=one.help))

    def handle(self, *args: Any, **options: Any) -> None:
        status = SUBCOMMANDS[options["what"]].run(options=options, write=self.stdout.write)
        sys.exit(status)
