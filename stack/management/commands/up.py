"""`manage.py up`: the whole stack on this machine."""

import sys
import threading
from dataclasses import replace
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalogue import SAGAS
from stack import record, replicas
from stack.backing import BrokerChoice
from stack.console import Interrupted, StackError, to_terminal
from stack.folders import MANAGE, STATE_FOLDER, Folder
from stack.local import LocalStack, Options
from stack.status import admin_login, who_gets_in


class Command(BaseCommand):
    help = (
        "Runs everything on this machine until Ctrl-C: PostgreSQL and RabbitMQ (its own, or those"
        " in DATABASE_URL and RABBITMQ_URL), and a web and a worker process per service. Data is"
        " kept in .dueto/ from run to run, logs in .dueto/logs/. DUETO_PORT_BASE moves the ports."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--detach",
            action="store_true",
            help="return when everything is ready; `manage.py down` stops it",
        )
        parser.add_argument(
            "--broker",
            choices=get_args(BrokerChoice),
            help="auto (default, or DUETO_BROKER): RabbitMQ if available, else PostgreSQL",
        )
        parser.add_argument(
            "--broker-nodes",
            type=int,
            choices=(1, 3),
            default=1,
            help="of its own RabbitMQ (default: 1); of 3 one may be down",
        )
        parser.add_argument(
            "--standby",
            action="store_true",
            help="its own PostgreSQL has a synchronous standby, which takes over when it crashes",
        )
        parser.add_argument(
            "--saga",
            choices=sorted(SAGAS),
            default="",
            help="only the services that this saga needs (default: all)",
        )
        parser.add_argument(
            "--replicas",
            default="",
            metavar="PROCESS=COUNT,...",
            help="several processes of a kind: carrito.web=2,inventario.worker=3 (several web"
            " processes are behind nginx)",
        )
        parser.add_argument("--fixed", action="store_true", help="don't restart crashed processes")
        parser.add_argument("--supervise", action="store_true", help="(what --detach runs)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chosen = Options(
                saga=options["saga"],
                restarts=not options["fixed"],
                with_admin=True,
                broker_nodes=options["broker_nodes"],
                standby=options["standby"],
            )
            several = replicas.read(options["replicas"], services=chosen.services)
            chosen = replace(chosen, replicas=several)
            if options["broker"]:
                chosen = replace(chosen, broker=options["broker"])
            if options["detach"]:
                record.start_detached(options=chosen, announce=to_terminal)
                self._print_summary(detached=True)
            else:
                self._serve(chosen, is_quiet=options["supervise"])
        except StackError as error:
            raise CommandError(str(error)) from error
        except Interrupted as interrupted:
            sys.exit(interrupted.exit_code)

    def _serve(self, options: Options, *, is_quiet: bool) -> None:
        with LocalStack(options):
            if not is_quiet:  # not into the log, as it has the password
                self._print_summary(detached=False)
            try:
                threading.Event().wait()
            except Interrupted:
                return  # the normal end of a run

    def _print_summary(self, *, detached: bool) -> None:
        found = record.read(Folder(STATE_FOLDER))
        if found is not None:
            self.stdout.write(_summary(found, detached=detached))


def _summary(record: dict[str, Any], *, detached: bool) -> str:
    """Addresses, the admin's login, and next steps."""
    # The dashboard first, as people open it.
    urls = dict(sorted(record["urls"].items(), key=lambda url: url[0] != "dashboard"))
    widest = max(len(name) for name in urls)
    lines = [
        "",
        f"Dueto is up: {record['database']}, {record['broker']}.",
        *(f"  {name.ljust(widest)}  {url}{_also(record, name)}" for name, url in urls.items()),
        f"  {'logs'.ljust(widest)}  {record['logs']}",
        "",
        *who_gets_in(record),
        *admin_login(record),
        f"To try it: `{MANAGE} demo`, or docs/tutorials/a-checkout.md.",
        f"To see this again: `{MANAGE} status`.",
        f"Stop it with `{MANAGE} down`." if detached else "Stop it with Ctrl-C.",
    ]
    return "\n".join(lines)


def _also(record: dict[str, Any], name: str) -> str:
    port = record["also"].get(name)
    return f"  (and on {port})" if port else ""
