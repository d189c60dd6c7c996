"""`manage.py topology`: makes the exchanges, queues and bindings; or tells who may do what."""

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
        " that may; again: changes nothing. Services make none."
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
            help="with --rights: whose passwords are in the files of this folder, a login each;"
            " those that are not there are made",
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
            raise CommandError(f"The topology is not there: {error}") from error
        finally:
            broker.close()
        self.stdout.write(f"{count} queues are there, and bound")


def _passwords(folder: Path) -> dict[str, str]:
    """By login; each in a file of its own, that its holder alone is given."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {login.name: _password(folder / login.name) for login in rights.logins()}


def _password(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(24))
    return path.read_text().strip()
