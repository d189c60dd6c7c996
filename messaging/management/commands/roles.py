"""`manage.py roles`: makes the roles and rights in the databases, or prints the statements."""

from itertools import chain
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from participant import logins, roles


class Command(BaseCommand):
    help = (
        "Makes an owner and a login for the database of every service, with no more rights than it"
        " needs, as migrate_all does too; idempotent. The logins and their passwords are those of"
        f" the databases' URLs; {roles.SUPERUSER} names the login that makes them. The tables must"
        " exist: migrate_all makes them."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--sql",
            action="store_true",
            help="changes nothing, and prints the statements for psql, which takes each password as"
            " a variable: psql -v carrito_password=...",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        asked = roles.wanted(databases=settings.DATABASES)
        if asked is None:
            raise CommandError(f"{roles.SUPERUSER} is not set: it names the login to make roles.")
        statements = chain(asked.before(), asked.after())
        if options["sql"]:
            self.stdout.write("\n".join(roles.written(statements)))
            return
        try:
            logins.run(roles=asked, statements=statements)
        except psycopg.Error as error:
            raise CommandError(f"The roles can't be made: {str(error).strip()}") from error
        self.stdout.write(f"{len(asked.logins)} logins have their rights")
