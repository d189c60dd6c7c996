"""`manage.py up`: the whole stack on this machine."""

import sys
import threading
from dataclasses import replace
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalogue import SAGAS
from stack import record
from stack.backing import BrokerChoice
from stack.console import Interrupted, StackError, to_terminal
from stack.folders import STATE_FOLDER, Folder
from stack.local import LocalStack, Options

_TRY_CHECKOUT = """\
A checkout, to try it:
  CART=$(curl -s -X POST {carrito}/carts -H 'Content-Type: application/json' \\
    -d '{{"user_id": "ana"}}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
  curl -s -X POST {carrito}/carts/$CART/items -H 'Content-Type: application/json' \\
    -d '{{"product_id": "1", "quantity": 1}}'
  curl -s -X POST {carrito}/checkout/saga -H 'Content-Type: application/json' \\
    -H 'Prefer: wait=5' -d '{{"cart_id": "'$CART'", "user_id": "ana",
      "payment_method": "credit_card", "saga_pattern": "choreographed", "billing_address":
      {{"street": "Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}}}}'
"""
_TRY_ORDER = """\
An order that is delivered:
  curl -s -X POST {pedidos}/orders -H 'Content-Type: application/json' -H 'Prefer: wait=5' \\
    -d '{{"user_id": "ana", "product_id": "product_1", "quantity": 1, "amount": 199.99}}'
"""
_TRIES = {"carrito": _TRY_CHECKOUT, "pedidos": _TRY_ORDER}
"""By the owner that it is asked of."""


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
            if not is_quiet:  # nobody reads it there, and it names the password
                self._print_summary(detached=False)
            try:
                threading.Event().wait()
            except Interrupted:
                return  # the way in which a run ends well

    def _print_summary(self, *, detached: bool) -> None:
        found = record.read(Folder(STATE_FOLDER))
        if found is not None:
            self.stdout.write(_summary(found, detached=detached))


def _summary(record: dict[str, Any], *, detached: bool) -> str:
    """Addresses, the admin's login, a few calls to try."""
    urls = record["urls"]
    widest = max(len(name) for name in urls)
    lines = [
        "",
        f"Dueto is up: {record['database']}, {record['broker']}.",
        *(f"  {name.ljust(widest)}  {url}{_also(record, name)}" for name, url in urls.items()),
        f"  {'logs'.ljust(widest)}  {record['logs']}",
        *_login(record),
        "",
        "",
    ]
    end = "Stop it with `python manage.py down`." if detached else "Stop it with Ctrl-C."
    tries = [text.format(**urls) for owner, text in _TRIES.items() if owner in urls]
    return "\n".join(lines) + "".join(tries) + end


def _also(record: dict[str, Any], name: str) -> str:
    port = record["also"].get(name)
    return f"  (and on {port})" if port else ""


def _login(record: dict[str, Any]) -> list[str]:
    admin, url = record["admin"], record["urls"].get("dashboard")
    if not admin or not url:
        return []
    login = f"{admin['user']}, password {admin['password']} (a new one is generated at each start)"
    return ["", f"Admin: {url}/admin/ as {login}"]
