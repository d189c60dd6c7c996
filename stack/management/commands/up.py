"""`manage.py up`: the whole stack on this machine."""

import sys
import threading
from dataclasses import replace
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandError, CommandParser

from contracts.catalogue import SAGAS
from stack import detached, summary
from stack.backends import BrokerChoice
from stack.errors import StackError
from stack.folders import STATE_FOLDER, Folder
from stack.interruption import Interrupted
from stack.local import LocalStack, Options
from stack.progress import to_terminal
from stack.record import read


class Command(BaseCommand):
    help = (
        "Runs everything on this machine until Ctrl-C: PostgreSQL and RabbitMQ (its own, or those"
        " that DATABASE_URL and RABBITMQ_URL name), a web and a worker process a service. Data is"
        " kept in .dueto/ from run to run, logs in .dueto/logs/. DUETO_PORT_BASE moves the ports."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--detach",
            action="store_true",
            help="return when all is ready; `manage.py down` stops it",
        )
        parser.add_argument(
            "--broker",
            choices=get_args(BrokerChoice),
            help="auto (default, or DUETO_BROKER): RabbitMQ if it can be had, else PostgreSQL",
        )
        parser.add_argument(
            "--saga",
            choices=sorted(SAGAS),
            default="",
            help="only the services that this saga needs (default: all)",
        )
        parser.add_argument(
            "--fixed", action="store_true", help="don't start a process again when it crashes"
        )
        parser.add_argument("--supervise", action="store_true", help="(what --detach runs)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chosen = Options(saga=options["saga"], restarts=not options["fixed"], with_admin=True)
            if options["broker"]:
                chosen = replace(chosen, broker=options["broker"])
            if options["detach"]:
                detached.start(options=chosen, announce=to_terminal)
                self._print_summary(detached=True)
            else:
                self._serve(chosen, is_quiet=options["supervise"])
        except StackError as error:
            raise CommandError(str(error)) from error
        except Interrupted as interrupted:
            sys.exit(interrupted.exit_code)

    def _serve(self, options: Options, *, is_quiet: bool) -> None:
        with LocalStack(options):
            if not is_quiet:  # nobody reads it there, and it names the password
                self._print_summary(detached=False)
            try:
                threading.Event().wait()
            except Interrupted:
                return  # the way in which a run ends well

    def _print_summary(self, *, detached: bool) -> None:
        record = read(Folder(STATE_FOLDER))
        if record is not None:
            self.stdout.write(summary.of_run(record, detached=detached))
