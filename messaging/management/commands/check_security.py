"""`manage.py check_security`: reports weak secrets and excessive rights of this process."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from messaging.brokers import BrokerUnavailable, Rejected
from messaging.components import make_topology
from messaging.management.commands.worker import configured_broker
from participant import logins, secrets

_KEY_FILES = {"DUETO_SIGNING_KEY": "SIGNING_KEY", "DUETO_ACCOUNTS_KEY": "ACCOUNTS_KEY"}


class Command(BaseCommand):
    help = (
        "Checks the environment of a process (in its container, say) for weaknesses: secrets that"
        " are well known or short, files that others may read, a superuser's login at a database, a"
        " login that may change the broker. Exit code: 0 nothing was found, 1 something was."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        found = [
            *(
                []
                if settings.AUTH == "required"
                else ["DUETO_AUTH is demo: no door authenticates its callers"]
            ),
            *settings.WEAK_SECRETS,
            *secrets.problems_of_files(_key_files()),
            *_of_databases(),
            *_of_broker(),
        ]
        if found:
            raise CommandError("\n".join(["Found:", *found]))
        self.stdout.write("Nothing was found.")


def _key_files() -> dict[str, Path]:
    named = {variable: getattr(settings, name, "") for variable, name in _KEY_FILES.items()}
    return {variable: Path(path) for variable, path in named.items() if path}


def _of_databases() -> list[str]:
    """The problems of this service's database login; of all databases, if it is no service."""
    own = [settings.SERVICE] if settings.SERVICE in settings.DATABASES else list(settings.DATABASES)
    try:
        return logins.problems_of_login(aliases=own)
    except OperationalError as error:
        raise CommandError(f"A database can't be asked: {error}") from error


def _of_broker() -> list[str]:
    """Tries to make the topology: a service's login must be refused, even if it exists already."""
    broker = configured_broker()
    try:
        make_topology(broker=broker)
    except Rejected:
        return []
    except BrokerUnavailable as error:
        raise CommandError(f"The broker can't be asked: {error}") from error
    finally:
        broker.close()
    return ["the login at the broker may make and change queues"]
