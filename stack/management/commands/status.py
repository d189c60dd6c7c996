"""`manage.py status`: the processes of the stack, and their health."""

import json
import shlex
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stack import status
from stack.folders import MANAGE, STATE_FOLDER, Folder
from stack.record import read as read_record

HEALTHY, UNHEALTHY, NOT_RUNNING = 0, 1, 3


class Command(BaseCommand):
    help = (
        "Shows every process with its pid, address and health, how to log in to the admin, and"
        " what needs attention: since when, and what to do."
        " Exit code: 0 all healthy, 1 something is not, 3 not running."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="for scripts")
        form.add_argument(
            "--env",
            action="store_true",
            help="print the variables (secrets included) for other commands on this run:"
            ' eval "$(.venv/bin/python manage.py status --env)"',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Folder(STATE_FOLDER)
        record = read_record(folder)
        if record is None:
            self.stdout.write("{}" if options["json"] else f"Not running: `{MANAGE} up`.")
            sys.exit(NOT_RUNNING)
        if options["env"]:
            self._print_environment(record["environment"])
            return
        found = status.read(record, folder)
        self.stdout.write(
            json.dumps(status.as_json(record, found), indent=2)
            if options["json"]
            else status.as_table(record, found)
        )
        sys.exit(HEALTHY if found.is_healthy else UNHEALTHY)

    def _print_environment(self, environment: dict[str, str]) -> None:
        for name, value in environment.items():
            self.stdout.write(f"export {name}={shlex.quote(value)}")
