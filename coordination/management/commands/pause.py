"""`manage.py pause checkout`: accepts no more of a saga; what runs goes on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from coordination.management import operating


def add_what(parser: CommandParser) -> None:
    """The saga, and its pattern."""
    parser.add_argument("saga", choices=sorted(SAGAS), help="which saga")
    parser.add_argument(
        "--pattern", choices=list(PATTERNS), default="", help="only in this one (default: in all)"
    )
    operating.add_who_and_why(parser)


def what(options: dict[str, Any]) -> dict[str, str]:
    """As the owner takes it."""
    about = {"saga": options["saga"], "saga_pattern": options["pattern"]}
    return about | operating.who_and_why(options)


class Command(BaseCommand):
    help = (
        "Accepts no more of a saga, in every pattern or in one: the next is refused (503 paused)"
        " within a second, in every process, also after a restart. What was accepted before goes"
        " on to its end. `manage.py resume` accepts it again; `manage.py status` shows what is"
        " paused."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_what(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        owner = SAGAS[options["saga"]].owner
        made = operating.done(operating.call(owner, "POST", f"/{owner}/pauses", body=what(options)))
        pattern = made["saga_pattern"] or "every pattern"
        self.stdout.write(f"{made['saga']} is paused in {pattern}; what runs goes on.")
