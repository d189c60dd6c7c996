"""`manage.py token`: a token for a person, signed with the key file, without a login."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.holders import PEOPLE_SECONDS, Holders
from accounts.management.commands.keys import add_folder
from contracts.bounds import MOST_ID
from contracts.doors import PUBLIC, SHOP, Scope

LONGEST = 24 * 60


class Command(BaseCommand):
    help = (
        'Prints a token for a person\'s requests: curl -H "Authorization: Bearer $TOKEN".'
        ' `eval "$(.venv/bin/python manage.py token --env --user ana)"` sets TOKEN. Needs the'
        " people's key, which `make up AUTH=required` makes."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        scopes = [scope.value for scope in Scope if scope is not PUBLIC]
        parser.add_argument("--user", required=True, help="the person, as in user_id")
        parser.add_argument(
            "--scope",
            nargs="+",
            choices=scopes,
            default=[SHOP.value],
            metavar="scope",
            help=f"the rights: {', '.join(scopes)} (default: shop)",
        )
        parser.add_argument("--merchant", default="", help="the merchant whose payments it reads")
        parser.add_argument(
            "--minutes",
            type=float,
            default=PEOPLE_SECONDS / 60,
            help=f"how long it lasts, at most {LONGEST} (default: %(default)g)",
        )
        parser.add_argument("--env", action="store_true", help="as a line for a shell: TOKEN=...")
        add_folder(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < len(options["user"]) <= MOST_ID:
            raise CommandError(f"--user has 1 to {MOST_ID} characters")
        if not 0 < options["minutes"] <= LONGEST:
            raise CommandError(f"--minutes: more than 0, and at most {LONGEST}")
        try:
            token = Holders(options["folder"]).person(
                options["user"],
                scopes=options["scope"],
                seconds=options["minutes"] * 60,
                merchant=options["merchant"],
            )
        except FileNotFoundError as error:
            raise CommandError(
                f"there is no key: {error}. make up AUTH=required makes them;"
                " in the mode demo no token is needed."
            ) from error
        self.stdout.write(f"export TOKEN={token}" if options["env"] else token)
