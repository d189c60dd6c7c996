"""`manage.py roles`: who may do what in the databases; made, or shown for somebody to run."""

from itertools import chain
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from participant import logins, roles


class Command(BaseCommand):
    help = (
        "Makes an owner and a login for the database of every service, with the rights that it"
        " needs and no more: what migrate_all does, too. Again: changes nothing. The logins and"
        f" their passwords are those of the databases' URLs; {roles.SUPERUSER} names who makes"
        " them. The tables must be there: they are made by migrate_all."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--sql",
            action="store_true",
            help="changes nothing, and prints it for psql, which takes each password as a variable:"
            " psql -v carrito_password=...",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        asked = roles.wanted(databases=settings.DATABASES)
        if asked is None:
            raise CommandError(f"{roles.SUPERUSER} is not set: who is to make the roles?")
        statements = chain(asked.before(), asked.after())
        if options["sql"]:
            self.stdout.write("\n".join(roles.written(statements)))
            return
        try:
            logins.run(roles=asked, statements=statements)
        except psycopg.Error as error:
            raise CommandError(f"The roles can't be made: {str(error).strip()}") from error
        self.stdout.write(f"{len(asked.logins)} logins have their rights")
