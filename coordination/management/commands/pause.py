"""`manage.py pause checkout`: stops accepting a saga; running sagas go on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from coordination.management import operating


def add_what(parser: CommandParser) -> None:
    """Adds the arguments for the saga and its pattern."""
    parser.add_argument("saga", choices=sorted(SAGAS), help="which saga")
    parser.add_argument(
        "--pattern", choices=list(PATTERNS), default="", help="only in this pattern (default: all)"
    )
    operating.add_who_and_why(parser)


def what(options: dict[str, Any]) -> dict[str, str]:
    """The arguments as fields of the owner's door."""
    about = {"saga": options["saga"], "saga_pattern": options["pattern"]}
    return about | operating.who_and_why(options)


class Command(BaseCommand):
    help = (
        "Stops accepting a saga, in every pattern or in one: new requests are refused (503 paused)"
        " within a second, in every process, also after a restart. Accepted sagas go on to their"
        " end. `manage.py resume` accepts the saga again; `manage.py status` shows pauses."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_what(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        owner = SAGAS[options["saga"]].owner
        made = operating.done(operating.call(owner, "POST", f"/{owner}/pauses", body=what(options)))
        pattern = made["saga_pattern"] or "every pattern"
        self.stdout.write(f"{made['saga']} is paused in {pattern}; running sagas go on.")
