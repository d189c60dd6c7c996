"""`manage.py keys missing|new|list|retire`: the keys that sign services' and people's tokens."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.holders import HOLDERS, PUBLISHED_SECONDS, Holders
from httpapi.keys import FOLDER, USUAL_FOLDER


def add_folder(parser: CommandParser) -> None:
    """Adds --folder: where the keys are."""
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(os.environ.get(FOLDER) or USUAL_FOLDER),
        help=f"where the keys are (default: {FOLDER}, else {USUAL_FOLDER})",
    )


class Command(BaseCommand):
    help = (
        "The keys that sign tokens. `missing` makes a first key for each holder that has none."
        " `new` publishes a further key, which signs after --after seconds; `retire` drops the keys"
        " whose last token has expired: so keys are rotated while the shop runs. `list` shows them."
        " Each holder reads only its own file; the files in public/ are for all."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = ("missing", "new", "list", "retire")
        parser.add_argument("action", choices=actions, help=f"one of {', '.join(actions)}")
        parser.add_argument(
            "holders", nargs="*", metavar="holder", help=f"of {', '.join(HOLDERS)}; none: all"
        )
        parser.add_argument(
            "--after",
            type=float,
            default=PUBLISHED_SECONDS,
            help="seconds until a new key signs (default: %(default)g)",
        )
        add_folder(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = options["holders"] or list(HOLDERS)
        if unknown := set(chosen) - set(HOLDERS):
            raise CommandError(f"no such holder: {', '.join(sorted(unknown))}")
        holders = Holders(options["folder"])
        match options["action"]:
            case "missing":
                given = holders.make_missing()
                self.stdout.write(f"{len(given)} keys made in {holders.folder}")
            case "new":
                for key in holders.renew(chosen, after=options["after"]):
                    self.stdout.write(f"{key['kid']} {_state(key)}")
            case "retire":
                for key in holders.retire(chosen):
                    self.stdout.write(f"{key['kid']} dropped")
            case "list":
                for holder in chosen:
                    for key in holders.keys_of(holder):
                        self.stdout.write(f"{key['kid']:40} {_state(key)}")


def _state(key: dict[str, Any]) -> str:
    begins = float(key["from"])
    if begins <= time.time():
        return "signs, until a newer one does"
    return f"signs from {datetime.fromtimestamp(begins, UTC):%H:%M:%S} UTC on"
