"""`manage.py resume checkout`: accepts a saga again that was paused."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from contracts.saga import SAGAS
from coordination.management import operating
from coordination.management.commands import pause


class Command(BaseCommand):
    help = "Accepts a saga again that was paused, in every pattern or in one."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        pause.add_what(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        owner = SAGAS[options["saga"]].owner
        query = pause.what(options)
        answered = operating.done(operating.call(owner, "DELETE", f"/{owner}/pauses", query=query))
        for ended in answered["resumed"]:
            pattern = ended["saga_pattern"] or "every pattern"
            self.stdout.write(
                f"{ended['saga']} is accepted again in {pattern};"
                f" {ended['paused_by']} had paused it at {ended['paused_at']}: {ended['reason']}"
            )
