"""`manage.py topology`: makes the exchanges, queues and bindings; or prints the logins' rights."""

import json
import secrets
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from contracts import rights
from messaging.brokers import BrokerUnavailable
from messaging.components import make_topology
from messaging.management.commands.worker import configured_broker


class Command(BaseCommand):
    help = (
        "Makes exchanges, queues and bindings at the broker that RABBITMQ_URL names, with a login"
        " that has the right to; idempotent. Services make none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rights",
            action="store_true",
            help="only prints the logins with their rights, as definitions for RabbitMQ to import",
        )
        parser.add_argument(
            "--passwords",
            type=Path,
            metavar="FOLDER",
            help="with --rights: reads the passwords from this folder, a file per login; makes"
            " those that are missing",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rights"]:
            passwords = _passwords(options["passwords"]) if options["passwords"] else {}
            definitions = rights.definitions(passwords=passwords)
            self.stdout.write(json.dumps(definitions, indent=2))
            return
        broker = configured_broker()
        try:
            count = make_topology(broker=broker)
        except BrokerUnavailable as error:
            raise CommandError(f"The topology can't be made: {error}") from error
        finally:
            broker.close()
        self.stdout.write(f"{count} queues exist and are bound")


def _passwords(folder: Path) -> dict[str, str]:
    """The passwords by login; each in a file of its own, for that login's holder only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {login.name: _password(folder / login.name) for login in rights.logins()}


def _password(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(24))
    return path.read_text().strip()
