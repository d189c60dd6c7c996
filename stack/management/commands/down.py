"""`manage.py down`: stops what `manage.py up` runs in this clone."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from stack import record
from stack.console import StackError, to_terminal
from stack.folders import MEASURED, STATE_FOLDER, Folder


class Command(BaseCommand):
    help = "Stops the stack of this clone, whether it was started with --detach or not."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--purge",
            action="store_true",
            help="also remove its data and logs (.dueto/, except reports and surveys)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Folder(STATE_FOLDER)
        try:
            was_running = record.stop(folder=folder, announce=to_terminal)
        except StackError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Stopped." if was_running else "Nothing is running in this clone.")
        if options["purge"]:
            folder.purge()
            folder.unlock()
            kept = [str(folder.path / name) for name in MEASURED if (folder.path / name).exists()]
            stays = f" Kept: {' and '.join(kept)}." if kept else ""
            self.stdout.write(f"Its data is removed.{stays}")
