"""`manage.py demo`: a minute with the running stack."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import passes
from contracts.patterns import ORCHESTRATED, PATTERNS
from stack import record
from stack.console import StackError
from stack.demo import Demo
from stack.folders import STATE_FOLDER, Folder


class Command(BaseCommand):
    help = (
        "Shows in a minute, on the stack that `manage.py up` runs, a checkout that completes in"
        " each pattern, a declined card whose checkout is undone, and a refund that can't be made:"
        " its saga is parked, and fixed by an operator's retry. Prints where to look at each."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--pattern",
            choices=list(PATTERNS),
            default=ORCHESTRATED,
            help=f"of the two checkouts that don't complete (default: {ORCHESTRATED})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        running = record.read(Folder(STATE_FOLDER))
        if running is None or not running["ready"]:
            raise CommandError("No stack runs in this clone: `make up`, in another terminal.")
        try:
            Demo(
                urls=running["urls"],
                say=self.stdout.write,
                passes=passes.of(running["environment"]),
            ).run(pattern=options["pattern"])
        except StackError as error:
            raise CommandError(str(error)) from error
